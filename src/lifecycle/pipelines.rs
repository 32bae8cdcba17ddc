//! Pipelines' configuration: which generation each names, and naming another (B9).
//!
//! A pipeline's file is somebody else's. Its field is changed if it says what the old generation's value is, and left
//! alone if it says the new one's already. If it says anything else, somebody edited it, and the command stops: a value
//! that nobody here knows is not written over.

use crate::config::{GitUse, Pipeline, PipelineValue};
use crate::error::{Error, Kind, Result, shown};
use crate::files::shown_path;
use crate::gate::{Consent, Failure};
use crate::keys::{Generation, State, value};
use crate::ledger::query::{self, OpenIntent};
use crate::model::{Hash256, KeyName, PipelineName};
use crate::pipeline::{self, Value};
use crate::policy::life::NAMED;
use crate::publication::edited::{self, Edited, Present};
use crate::publication::{ObjectId, Repository};
use crate::published::worktree;
use crate::request::UpdatePipeline;
use crate::world::{World, act, orphans};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What an update would do, or did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Updated {
    /// The `[pipelines.NAME]` entry.
    pub pipeline: PipelineName,
    /// The file.
    pub file: PathBuf,
    /// Where in it, as the settings say.
    pub field: String,
    /// What it said.
    pub from: String,
    /// What it says.
    pub to: String,
    /// Whether the file was changed, or would be; not if it said so already.
    pub changed: bool,
    /// Whether anything else is left to do: a commit that the settings ask for, or its push.
    pub pending: bool,
    /// The commit that was made.
    pub commit: Option<ObjectId>,
}

/// The adopted pipelines of a key.
fn of_key(world: &World, key: &KeyName) -> Result<Vec<(PipelineName, Pipeline)>> {
    let settings = query::settings(world.ledger.connection())?.settings;
    Ok(settings.pipelines.into_iter().filter(|(_, pipeline)| pipeline.key == *key).collect())
}

/// What [`update`] would do; nothing is changed.
///
/// # Errors
/// As [`update`], as far as it can be known.
pub fn plan(world: &World, generation: &Generation, predecessor: Option<&Generation>) -> Result<Vec<Updated>> {
    let pipelines = of_key(world, &generation.id.key)?;
    let planned = pipelines.iter().map(|(name, pipeline)| {
        let draft = Draft::new(world, name, pipeline, generation, predecessor)?;
        let pending = draft.changed() || tree(world, &draft)?.is_some_and(|tree| !tree.is_done());
        Ok(Updated { pending, ..draft.updated() })
    });
    planned.collect()
}

/// Whether a pipeline of the key does not name the generation yet, or its change was not committed or pushed yet.
///
/// # Errors
/// As [`plan`].
pub fn is_pending(world: &World, generation: &Generation, predecessor: Option<&Generation>) -> Result<bool> {
    Ok(plan(world, generation, predecessor)?.iter().any(|planned| planned.pending))
}

/// Names the generation in every pipeline of its key, in place of `predecessor`; without one, in place of any earlier
/// generation of the key. Repeating it does what is left to do, and nothing if nothing is.
///
/// # Errors
/// `pipeline_foreign` for a value of neither generation, naming both; those of finding, changing and committing. Those of
/// kind [`Kind::Unavailable`] are for now.
pub fn update(world: &mut World, generation: &Generation, predecessor: Option<&Generation>) -> Result<Vec<Updated>> {
    let mut done = Vec::new();
    for (name, pipeline) in of_key(world, &generation.id.key)? {
        done.push(update_one(world, &name, &pipeline, generation, predecessor)?);
    }
    Ok(done)
}

fn update_one(
    world: &mut World,
    name: &PipelineName,
    pipeline: &Pipeline,
    generation: &Generation,
    predecessor: Option<&Generation>,
) -> Result<Updated> {
    let draft = Draft::new(world, name, pipeline, generation, predecessor)?;
    // Before anything is changed: what stands in the way of the commit stands in the way of the change.
    let tree = tree(world, &draft)?;
    let mut updated = draft.updated();
    if draft.changed() {
        let params = draft.params(generation);
        let path = draft.path.clone();
        let request = world.request(name.to_string(), params);
        let permit = act::admit(world, &Consent::of_consequence(), request)?;
        let edited = edited::edit(&permit, &path).map_err(Into::into);
        act::close(world, permit, edited)?;
    }
    if let Some(tree) = tree {
        updated.commit = publish(world, &tree, &draft, generation)?;
    }
    Ok(updated)
}

/// One pipeline with its file as it is, and the value it gets.
struct Draft<'a> {
    name: &'a PipelineName,
    pipeline: &'a Pipeline,
    path: PathBuf,
    present: Present,
    to: Value,
    /// The whole text with the new value.
    text: String,
}

impl<'a> Draft<'a> {
    fn new(
        world: &World,
        name: &'a PipelineName,
        pipeline: &'a Pipeline,
        generation: &Generation,
        predecessor: Option<&Generation>,
    ) -> Result<Self> {
        let path = world.dir.join(&pipeline.file);
        outside(world, name, &path)?;
        let present = edited::open(&path, &pipeline.field).map_err(|error| error.about(format!("pipelines.{name}")))?;
        let to = value::fitting(generation, pipeline.value, &present.found.value).ok_or_else(|| {
            let message = format!("pipelines.{name}: {} has no {} that fits the field", generation.id, pipeline.value);
            Error::failed("pipeline_field_kind", message)
        })?;
        let found = &present.found.value;
        let said = said_by(world, found, pipeline, generation, predecessor)?;
        if !said {
            return Err(foreign((name, pipeline, &path), found, &to, predecessor));
        }
        let text = pipeline::replace(present.format, &present.text, &pipeline.field, &to)?;
        Ok(Draft { name, pipeline, path, present, to, text })
    }

    fn changed(&self) -> bool {
        self.text != self.present.text
    }

    fn updated(&self) -> Updated {
        Updated {
            pipeline: self.name.clone(),
            file: self.path.clone(),
            field: self.pipeline.field.to_string(),
            from: self.present.found.value.to_string(),
            to: self.to.to_string(),
            changed: self.changed(),
            pending: false,
            commit: None,
        }
    }

    fn params(&self, generation: &Generation) -> UpdatePipeline {
        UpdatePipeline {
            generation: generation.id.clone(),
            pipeline: self.name.clone(),
            file: self.pipeline.file.clone(),
            field: self.pipeline.field.clone(),
            value: self.pipeline.value,
            from: self.present.found.value.to_string(),
            to: self.to.to_string(),
            before_sha256: Hash256::of(self.present.text.as_bytes()),
            after_sha256: Hash256::of(self.text.as_bytes()),
        }
    }
}

/// A pipeline's file is somebody else's: what belongs to the workspace is not changed as one, wherever links lead.
fn outside(world: &World, name: &PipelineName, path: &Path) -> Result<()> {
    let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    if !real.starts_with(&world.dir) {
        return Ok(());
    }
    let message = format!("pipelines.{name}: {} lies inside the workspace", shown_path(path));
    Err(Error::usage("pipeline_inside", message).hint("keep it in a folder of its own, and name that in keyctl.toml"))
}

/// Whether the field says what one of these generations is known by. Before the first one, it may say nothing.
fn said_by(
    world: &World,
    found: &Value,
    pipeline: &Pipeline,
    generation: &Generation,
    predecessor: Option<&Generation>,
) -> Result<bool> {
    let is_of = |known: &Generation| {
        let known = value::fitting(known, pipeline.value, found);
        known.is_some_and(|known| value::same(pipeline.value, &known, found))
    };
    if is_of(generation) || predecessor.is_some_and(is_of) {
        return Ok(true);
    }
    if predecessor.is_some() {
        return Ok(false);
    }
    let is_unset = matches!(found, Value::Text(text) if text.trim().is_empty()) || *found == Value::Number(0);
    Ok(is_unset || earlier(world, generation)?.iter().any(is_of))
}

/// Generations of the same key before this one.
fn earlier(world: &World, generation: &Generation) -> Result<Vec<Generation>> {
    let mut all = query::generations(world.ledger.connection())?;
    all.retain(|other| other.id.key == generation.id.key && other.id.number < generation.id.number);
    Ok(all)
}

fn foreign(draft: (&PipelineName, &Pipeline, &Path), found: &Value, to: &Value, before: Option<&Generation>) -> Error {
    let (name, pipeline, path) = draft;
    let old = before.and_then(|before| value::fitting(before, pipeline.value, found));
    let old = old.map_or_else(|| format!("that of an earlier {}", pipeline.key), |old| format!("the old {old}"));
    let message = format!(
        "pipelines.{name}: {} in {} is {}, neither {old} nor the new {to}: somebody edited it",
        pipeline.field,
        shown_path(path),
        shown(&found.to_string())
    );
    Error::failed("pipeline_foreign", message).hint(format!("put {to} there yourself, or what was there before"))
}

/// The work tree that a pipeline's file is committed to.
struct Tree {
    repository: Repository,
    /// The file's path from the top, with `/`.
    path: String,
    /// Whether the last commit has the file as it will be.
    committed: bool,
    /// Whether the remote has that commit, where it is to have it.
    pushed: bool,
}

impl Tree {
    fn is_done(&self) -> bool {
        self.committed && self.pushed
    }
}

/// Opens the work tree, if the settings ask for it, and makes sure that nothing but our change will be committed.
fn tree(world: &World, draft: &Draft<'_>) -> Result<Option<Tree>> {
    let settings = &draft.pipeline.repository;
    if settings.git == GitUse::Off {
        return Ok(None);
    }
    let path = draft.path.canonicalize()?;
    let top = match worktree::tree_above(&path) {
        Err(_) if settings.git == GitUse::Auto => return Ok(None),
        top => top?,
    };
    let repository = Repository::open(&top, settings, world.config.retry.timeout, crate::world::interrupts()?)
        .map_err(|error| error.about(format!("pipelines.{}", draft.name)))?;
    let Some(repository) = repository else { return Ok(None) };
    let path = path.strip_prefix(repository.top()).ok().and_then(Path::to_str).map(str::to_owned);
    let path =
        path.ok_or_else(|| Error::failed("no_repository", format!("pipelines.{}: not in its tree", draft.name)))?;
    let uncommitted = |why: &str| {
        let message = format!("pipelines.{}: {} {why}", draft.name, shown_path(&draft.path));
        let hint = format!("git -C {} status", shown_path(repository.top()));
        Error::failed("pipeline_uncommitted", message).hint(hint)
    };
    let head = repository.head()?.ok_or_else(|| uncommitted("is in a work tree without a commit"))?;
    let known = repository.files(&head)?;
    let last = known.get(&path).ok_or_else(|| uncommitted("was never committed"))?;
    let committed = *last == repository.name_of(draft.text.as_bytes());
    if !committed {
        // What is committed, with nothing changed but the field, is what will lie in the folder.
        let old = String::from_utf8(repository.content(&head, &path)?).unwrap_or_default();
        let again = pipeline::replace(draft.present.format, &old, &draft.pipeline.field, &draft.to);
        if again.ok().as_ref() != Some(&draft.text) {
            return Err(uncommitted("has changes that were not committed"));
        }
    }
    let pushed = repository.remote().is_none() || repository.pushed()?.as_ref() == Some(&head);
    Ok(Some(Tree { repository, path, committed, pushed }))
}

/// Commits the changed file and pushes it.
fn publish(world: &World, tree: &Tree, draft: &Draft<'_>, generation: &Generation) -> Result<Option<ObjectId>> {
    let message = format!(
        "Name {} in {}\n\n{} of pipelines.{}\nCorrelation-Id: {}\nWorkspace-Id: {}\n",
        generation.id,
        tree.path,
        draft.pipeline.field,
        draft.name,
        world.globals.correlation_id,
        world.genesis.workspace_id
    );
    let mut commit = None;
    if !tree.committed {
        let object = tree.repository.store(draft.text.as_bytes())?;
        let files = BTreeMap::from([(tree.path.clone(), object)]);
        commit = tree.repository.commit(&files, &message, &worktree::author(world))?;
    }
    worktree::push(world, &tree.repository).map_err(|error| error.about(format!("pipelines.{}", draft.name)))?;
    Ok(commit)
}

/// After the first activation of a key: pipelines that name nobody, or an earlier generation, get its name. What stands in
/// the way is a warning, since the key serves already.
pub(crate) fn follow(world: &mut World, generation: &Generation) {
    match update(world, generation, None) {
        Ok(updated) => {
            for one in updated.iter().filter(|one| one.changed) {
                world.ui().say(&format!("pipelines.{} names {}", one.pipeline, generation.id));
            }
        }
        Err(error) => world.ui().warn(&error.full()),
    }
}

/// For `recover`: what an interruption left behind. Where a successor is named already, that is its rotation's affair.
pub(crate) fn catch_up(world: &mut World) -> Result<()> {
    for generation in query::generations(world.ledger.connection())? {
        if generation.state == State::Active && !is_succeeded(world, &generation)? {
            follow(world, &generation);
        }
    }
    Ok(())
}

/// Whether a generation after this one may be named already.
fn is_succeeded(world: &World, generation: &Generation) -> Result<bool> {
    let all = query::generations(world.ledger.connection())?;
    let later = |other: &Generation| other.id.key == generation.id.key && other.id.number > generation.id.number;
    Ok(all.iter().any(|other| later(other) && NAMED.contains(&other.state)))
}

/// For `status`: a warning for each pipeline that does not name a generation that serves.
pub(crate) fn show(world: &World) -> Result<()> {
    let settings = query::settings(world.ledger.connection())?.settings;
    let generations = query::generations(world.ledger.connection())?;
    for (name, pipeline) in &settings.pipelines {
        let ours = generations.iter().filter(|generation| generation.id.key == pipeline.key);
        match edited::open(&world.dir.join(&pipeline.file), &pipeline.field) {
            Err(error) => world.ui().warn(&error.about(format!("pipelines.{name}")).full()),
            Ok(present) => world.ui().say(&words(name, pipeline, &present.found.value, ours)),
        }
    }
    Ok(())
}

fn words<'a>(
    name: &PipelineName,
    pipeline: &Pipeline,
    found: &Value,
    ours: impl DoubleEndedIterator<Item = &'a Generation>,
) -> String {
    let is_named = |generation: &&Generation| {
        let known = value::fitting(generation, pipeline.value, found);
        known.is_some_and(|known| value::same(pipeline.value, &known, found))
    };
    match ours.rev().find(is_named) {
        Some(generation)
            if pipeline.value == PipelineValue::Certificate && generation.purpose == crate::model::Purpose::Apt =>
        {
            format!("pipelines.{name} names the keyring of {}", pipeline.key)
        }
        Some(generation) => format!("pipelines.{name} names {}, which is {}", generation.id, generation.state),
        None => format!("pipelines.{name} names no generation of {}", pipeline.key),
    }
}

/// Settles an intent whose process is gone: the file says what it should, or the change was not made.
pub(crate) fn settle(world: &mut World, orphan: &OpenIntent) -> Result<(&'static str, String)> {
    let permit = orphans::resume::<UpdatePipeline>(world, orphan)?;
    let path = world.dir.join(&permit.request().params.file);
    match edited::edited(&permit, &path) {
        Ok(Some(edited)) => {
            act::close(world, permit, Ok(edited))?;
            Ok(("taken-over", format!("{} says what it should", shown_path(&path))))
        }
        Err(error) if error.kind() == Kind::Unavailable => Err(error),
        _ => {
            let detail = "the pipeline's file was not changed, or was changed again";
            let error = Error::failed("interrupted", detail);
            act::close_failed::<UpdatePipeline, Edited>(world, permit, Failure { error, unknown: false })?;
            Ok(("not-executed", detail.into()))
        }
    }
}
