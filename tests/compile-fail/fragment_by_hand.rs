// error: E0451
use keyctl::evidence::fragment::Fragment;
pub fn forge() -> Fragment {
    Fragment { id: String::new(), bytes: Vec::new() }
}
