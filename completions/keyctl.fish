# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_keyctl_global_optspecs
    string join \n workspace= output= correlation-id= actor= dry-run q/quiet v/verbose h/help V/version
end

function __fish_keyctl_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_keyctl_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_keyctl_using_subcommand
    set -l cmd (__fish_keyctl_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c keyctl -n "__fish_keyctl_needs_command" -l workspace -d 'The workspace folder (else /etc/keyctl, else upwards from here if this user founded or pinned it)' -r -F
complete -c keyctl -n "__fish_keyctl_needs_command" -l output -d 'Form of results: table, json or csv (default: table on a terminal, else json)' -r
complete -c keyctl -n "__fish_keyctl_needs_command" -l correlation-id -d 'Ties this run to a deployment; generated when absent' -r
complete -c keyctl -n "__fish_keyctl_needs_command" -l actor -d 'Who asks, by e-mail address; recorded as asserted' -r
complete -c keyctl -n "__fish_keyctl_needs_command" -l dry-run -d 'Print the resolved request and the gates; touch no key and change nothing'
complete -c keyctl -n "__fish_keyctl_needs_command" -s q -l quiet -d 'Only results and errors'
complete -c keyctl -n "__fish_keyctl_needs_command" -s v -l verbose -d 'More words on stderr'
complete -c keyctl -n "__fish_keyctl_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c keyctl -n "__fish_keyctl_needs_command" -s V -l version -d 'Print version'
complete -c keyctl -n "__fish_keyctl_needs_command" -f -a "init" -d 'Found a workspace'
complete -c keyctl -n "__fish_keyctl_needs_command" -f -a "status" -d 'Show keys, ages, gates, and what is open'
complete -c keyctl -n "__fish_keyctl_needs_command" -f -a "doctor" -d 'Examine tokens, PIN flags, mechanisms, clock and settings'
complete -c keyctl -n "__fish_keyctl_needs_command" -f -a "keygen" -d 'Make the next generation of a key'
complete -c keyctl -n "__fish_keyctl_needs_command" -f -a "import" -d 'Take in a certificate that an external issuer made'
complete -c keyctl -n "__fish_keyctl_needs_command" -f -a "adopt" -d 'Adopt the changes of keyctl.toml that bear on security, and changed tokens'
complete -c keyctl -n "__fish_keyctl_needs_command" -f -a "sign" -d 'Sign files'
complete -c keyctl -n "__fish_keyctl_needs_command" -f -a "verify" -d 'Check signed files and evidence fragments'
complete -c keyctl -n "__fish_keyctl_needs_command" -f -a "audit" -d 'Check the ledger against what is known outside of it'
complete -c keyctl -n "__fish_keyctl_needs_command" -f -a "recover" -d 'Settle what an interruption left'
complete -c keyctl -n "__fish_keyctl_needs_command" -f -a "completions" -d 'Print completions for a shell'
complete -c keyctl -n "__fish_keyctl_needs_command" -f -a "man" -d 'Print the man page of keyctl or of one of its commands'
complete -c keyctl -n "__fish_keyctl_using_subcommand init" -l from -d 'Found a workspace with this keyctl.toml' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand init" -l workspace -d 'The workspace folder (else /etc/keyctl, else upwards from here if this user founded or pinned it)' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand init" -l output -d 'Form of results: table, json or csv (default: table on a terminal, else json)' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand init" -l correlation-id -d 'Ties this run to a deployment; generated when absent' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand init" -l actor -d 'Who asks, by e-mail address; recorded as asserted' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand init" -l sandbox -d 'Make a sandbox: software tokens, P-256 keys, no network'
complete -c keyctl -n "__fish_keyctl_using_subcommand init" -l dry-run -d 'Print the resolved request and the gates; touch no key and change nothing'
complete -c keyctl -n "__fish_keyctl_using_subcommand init" -s q -l quiet -d 'Only results and errors'
complete -c keyctl -n "__fish_keyctl_using_subcommand init" -s v -l verbose -d 'More words on stderr'
complete -c keyctl -n "__fish_keyctl_using_subcommand init" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c keyctl -n "__fish_keyctl_using_subcommand status" -l check -d 'Exit 4 if this key may not sign now' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand status" -l workspace -d 'The workspace folder (else /etc/keyctl, else upwards from here if this user founded or pinned it)' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand status" -l output -d 'Form of results: table, json or csv (default: table on a terminal, else json)' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand status" -l correlation-id -d 'Ties this run to a deployment; generated when absent' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand status" -l actor -d 'Who asks, by e-mail address; recorded as asserted' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand status" -l dry-run -d 'Print the resolved request and the gates; touch no key and change nothing'
complete -c keyctl -n "__fish_keyctl_using_subcommand status" -s q -l quiet -d 'Only results and errors'
complete -c keyctl -n "__fish_keyctl_using_subcommand status" -s v -l verbose -d 'More words on stderr'
complete -c keyctl -n "__fish_keyctl_using_subcommand status" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c keyctl -n "__fish_keyctl_using_subcommand doctor" -l workspace -d 'The workspace folder (else /etc/keyctl, else upwards from here if this user founded or pinned it)' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand doctor" -l output -d 'Form of results: table, json or csv (default: table on a terminal, else json)' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand doctor" -l correlation-id -d 'Ties this run to a deployment; generated when absent' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand doctor" -l actor -d 'Who asks, by e-mail address; recorded as asserted' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand doctor" -l dry-run -d 'Print the resolved request and the gates; touch no key and change nothing'
complete -c keyctl -n "__fish_keyctl_using_subcommand doctor" -s q -l quiet -d 'Only results and errors'
complete -c keyctl -n "__fish_keyctl_using_subcommand doctor" -s v -l verbose -d 'More words on stderr'
complete -c keyctl -n "__fish_keyctl_using_subcommand doctor" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c keyctl -n "__fish_keyctl_using_subcommand keygen" -l csr -d 'Write a certificate signing request (PEM) for the key\'s external issuer' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand keygen" -l workspace -d 'The workspace folder (else /etc/keyctl, else upwards from here if this user founded or pinned it)' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand keygen" -l output -d 'Form of results: table, json or csv (default: table on a terminal, else json)' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand keygen" -l correlation-id -d 'Ties this run to a deployment; generated when absent' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand keygen" -l actor -d 'Who asks, by e-mail address; recorded as asserted' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand keygen" -l dry-run -d 'Print the resolved request and the gates; touch no key and change nothing'
complete -c keyctl -n "__fish_keyctl_using_subcommand keygen" -s q -l quiet -d 'Only results and errors'
complete -c keyctl -n "__fish_keyctl_using_subcommand keygen" -s v -l verbose -d 'More words on stderr'
complete -c keyctl -n "__fish_keyctl_using_subcommand keygen" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c keyctl -n "__fish_keyctl_using_subcommand import" -l roots -d 'Trusted root certificates (PEM)' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand import" -l chain -d 'Further intermediates (PEM)' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand import" -l workspace -d 'The workspace folder (else /etc/keyctl, else upwards from here if this user founded or pinned it)' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand import" -l output -d 'Form of results: table, json or csv (default: table on a terminal, else json)' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand import" -l correlation-id -d 'Ties this run to a deployment; generated when absent' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand import" -l actor -d 'Who asks, by e-mail address; recorded as asserted' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand import" -l dry-run -d 'Print the resolved request and the gates; touch no key and change nothing'
complete -c keyctl -n "__fish_keyctl_using_subcommand import" -s q -l quiet -d 'Only results and errors'
complete -c keyctl -n "__fish_keyctl_using_subcommand import" -s v -l verbose -d 'More words on stderr'
complete -c keyctl -n "__fish_keyctl_using_subcommand import" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c keyctl -n "__fish_keyctl_using_subcommand adopt" -l workspace -d 'The workspace folder (else /etc/keyctl, else upwards from here if this user founded or pinned it)' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand adopt" -l output -d 'Form of results: table, json or csv (default: table on a terminal, else json)' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand adopt" -l correlation-id -d 'Ties this run to a deployment; generated when absent' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand adopt" -l actor -d 'Who asks, by e-mail address; recorded as asserted' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand adopt" -l dry-run -d 'Print the resolved request and the gates; touch no key and change nothing'
complete -c keyctl -n "__fish_keyctl_using_subcommand adopt" -s q -l quiet -d 'Only results and errors'
complete -c keyctl -n "__fish_keyctl_using_subcommand adopt" -s v -l verbose -d 'More words on stderr'
complete -c keyctl -n "__fish_keyctl_using_subcommand adopt" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c keyctl -n "__fish_keyctl_using_subcommand sign" -l files-from -d 'Further files, one a line or NUL-separated; - reads standard input' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand sign" -l key -d 'The key to sign with' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand sign" -l to -d 'Write here and leave the file as it is; a folder when there are several files' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand sign" -l hash -d 'Digest algorithm: sha256, sha384 or sha512' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand sign" -l program-name -d 'Program name that Windows shows' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand sign" -l program-url -d 'Program URL that Windows shows' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand sign" -l for-pack -d 'Evidence pack whose artifact this is; required in production' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand sign" -l builder -d 'Provenance: who built the files (default: from the CI environment)' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand sign" -l pipeline-run -d 'Provenance: the pipeline run' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand sign" -l source-repo -d 'Provenance: the source repository' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand sign" -l source-commit -d 'Provenance: the source commit' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand sign" -l timestamp -d 'Ask these timestamp authorities, in this order, instead of the configured ones' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand sign" -l timestamp-roots -d 'Trusted root certificates of timestamp authorities (PEM), instead of the configured ones; refused in production' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand sign" -l jobs -d 'How many files at the same time' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand sign" -l workspace -d 'The workspace folder (else /etc/keyctl, else upwards from here if this user founded or pinned it)' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand sign" -l output -d 'Form of results: table, json or csv (default: table on a terminal, else json)' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand sign" -l correlation-id -d 'Ties this run to a deployment; generated when absent' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand sign" -l actor -d 'Who asks, by e-mail address; recorded as asserted' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand sign" -l append -d 'Nest the signature into the one that is there'
complete -c keyctl -n "__fish_keyctl_using_subcommand sign" -l replace -d 'Take out the signatures that are there'
complete -c keyctl -n "__fish_keyctl_using_subcommand sign" -l remove -d 'Take out the signatures and sign nothing'
complete -c keyctl -n "__fish_keyctl_using_subcommand sign" -l page-hashes -d 'Add page hashes (PE)'
complete -c keyctl -n "__fish_keyctl_using_subcommand sign" -l follow-symlinks -d 'Sign what a symlink leads to'
complete -c keyctl -n "__fish_keyctl_using_subcommand sign" -l no-timestamp -d 'Sign without a timestamp; refused in production'
complete -c keyctl -n "__fish_keyctl_using_subcommand sign" -l sandbox -d 'Use the sandbox in .keyctl-sandbox, made if it is not there'
complete -c keyctl -n "__fish_keyctl_using_subcommand sign" -l dry-run -d 'Print the resolved request and the gates; touch no key and change nothing'
complete -c keyctl -n "__fish_keyctl_using_subcommand sign" -s q -l quiet -d 'Only results and errors'
complete -c keyctl -n "__fish_keyctl_using_subcommand sign" -s v -l verbose -d 'More words on stderr'
complete -c keyctl -n "__fish_keyctl_using_subcommand sign" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c keyctl -n "__fish_keyctl_using_subcommand verify" -l roots -d 'Trusted root certificates (PEM), instead of the workspace\'s' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand verify" -l timestamp-roots -d 'Trusted root certificates of timestamp authorities (PEM)' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand verify" -l crl -d 'Revocation lists (DER or PEM), besides the workspace\'s' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand verify" -l ledger-key -d 'Trusted ledger keys (verifier key lines), instead of the workspace\'s' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand verify" -l keyring -d 'Trusted OpenPGP keyring for repositories, binary or armoured, instead of the workspace\'s' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand verify" -l at -d 'As of this time (RFC 3339) instead of now' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand verify" -l workspace -d 'The workspace folder (else /etc/keyctl, else upwards from here if this user founded or pinned it)' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand verify" -l output -d 'Form of results: table, json or csv (default: table on a terminal, else json)' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand verify" -l correlation-id -d 'Ties this run to a deployment; generated when absent' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand verify" -l actor -d 'Who asks, by e-mail address; recorded as asserted' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand verify" -l require-timestamp -d 'A signature without a good timestamp does not pass'
complete -c keyctl -n "__fish_keyctl_using_subcommand verify" -l dry-run -d 'Print the resolved request and the gates; touch no key and change nothing'
complete -c keyctl -n "__fish_keyctl_using_subcommand verify" -s q -l quiet -d 'Only results and errors'
complete -c keyctl -n "__fish_keyctl_using_subcommand verify" -s v -l verbose -d 'More words on stderr'
complete -c keyctl -n "__fish_keyctl_using_subcommand verify" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c keyctl -n "__fish_keyctl_using_subcommand audit; and not __fish_seen_subcommand_from log" -l workspace -d 'The workspace folder (else /etc/keyctl, else upwards from here if this user founded or pinned it)' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand audit; and not __fish_seen_subcommand_from log" -l output -d 'Form of results: table, json or csv (default: table on a terminal, else json)' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand audit; and not __fish_seen_subcommand_from log" -l correlation-id -d 'Ties this run to a deployment; generated when absent' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand audit; and not __fish_seen_subcommand_from log" -l actor -d 'Who asks, by e-mail address; recorded as asserted' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand audit; and not __fish_seen_subcommand_from log" -l dry-run -d 'Print the resolved request and the gates; touch no key and change nothing'
complete -c keyctl -n "__fish_keyctl_using_subcommand audit; and not __fish_seen_subcommand_from log" -s q -l quiet -d 'Only results and errors'
complete -c keyctl -n "__fish_keyctl_using_subcommand audit; and not __fish_seen_subcommand_from log" -s v -l verbose -d 'More words on stderr'
complete -c keyctl -n "__fish_keyctl_using_subcommand audit; and not __fish_seen_subcommand_from log" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c keyctl -n "__fish_keyctl_using_subcommand audit; and not __fish_seen_subcommand_from log" -f -a "log" -d 'The ledger: leaves, tree, checkpoints, tables, anchors'
complete -c keyctl -n "__fish_keyctl_using_subcommand audit; and __fish_seen_subcommand_from log" -l anchor -d 'A checkpoint kept elsewhere; may be given several times' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand audit; and __fish_seen_subcommand_from log" -l workspace -d 'The workspace folder (else /etc/keyctl, else upwards from here if this user founded or pinned it)' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand audit; and __fish_seen_subcommand_from log" -l output -d 'Form of results: table, json or csv (default: table on a terminal, else json)' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand audit; and __fish_seen_subcommand_from log" -l correlation-id -d 'Ties this run to a deployment; generated when absent' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand audit; and __fish_seen_subcommand_from log" -l actor -d 'Who asks, by e-mail address; recorded as asserted' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand audit; and __fish_seen_subcommand_from log" -l dry-run -d 'Print the resolved request and the gates; touch no key and change nothing'
complete -c keyctl -n "__fish_keyctl_using_subcommand audit; and __fish_seen_subcommand_from log" -s q -l quiet -d 'Only results and errors'
complete -c keyctl -n "__fish_keyctl_using_subcommand audit; and __fish_seen_subcommand_from log" -s v -l verbose -d 'More words on stderr'
complete -c keyctl -n "__fish_keyctl_using_subcommand audit; and __fish_seen_subcommand_from log" -s h -l help -d 'Print help'
complete -c keyctl -n "__fish_keyctl_using_subcommand recover" -l workspace -d 'The workspace folder (else /etc/keyctl, else upwards from here if this user founded or pinned it)' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand recover" -l output -d 'Form of results: table, json or csv (default: table on a terminal, else json)' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand recover" -l correlation-id -d 'Ties this run to a deployment; generated when absent' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand recover" -l actor -d 'Who asks, by e-mail address; recorded as asserted' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand recover" -l dry-run -d 'Print the resolved request and the gates; touch no key and change nothing'
complete -c keyctl -n "__fish_keyctl_using_subcommand recover" -s q -l quiet -d 'Only results and errors'
complete -c keyctl -n "__fish_keyctl_using_subcommand recover" -s v -l verbose -d 'More words on stderr'
complete -c keyctl -n "__fish_keyctl_using_subcommand recover" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c keyctl -n "__fish_keyctl_using_subcommand completions" -l workspace -d 'The workspace folder (else /etc/keyctl, else upwards from here if this user founded or pinned it)' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand completions" -l output -d 'Form of results: table, json or csv (default: table on a terminal, else json)' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand completions" -l correlation-id -d 'Ties this run to a deployment; generated when absent' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand completions" -l actor -d 'Who asks, by e-mail address; recorded as asserted' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand completions" -l dry-run -d 'Print the resolved request and the gates; touch no key and change nothing'
complete -c keyctl -n "__fish_keyctl_using_subcommand completions" -s q -l quiet -d 'Only results and errors'
complete -c keyctl -n "__fish_keyctl_using_subcommand completions" -s v -l verbose -d 'More words on stderr'
complete -c keyctl -n "__fish_keyctl_using_subcommand completions" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c keyctl -n "__fish_keyctl_using_subcommand man" -l workspace -d 'The workspace folder (else /etc/keyctl, else upwards from here if this user founded or pinned it)' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand man" -l output -d 'Form of results: table, json or csv (default: table on a terminal, else json)' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand man" -l correlation-id -d 'Ties this run to a deployment; generated when absent' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand man" -l actor -d 'Who asks, by e-mail address; recorded as asserted' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand man" -l dry-run -d 'Print the resolved request and the gates; touch no key and change nothing'
complete -c keyctl -n "__fish_keyctl_using_subcommand man" -s q -l quiet -d 'Only results and errors'
complete -c keyctl -n "__fish_keyctl_using_subcommand man" -s v -l verbose -d 'More words on stderr'
complete -c keyctl -n "__fish_keyctl_using_subcommand man" -s h -l help -d 'Print help (see more with \'--help\')'
