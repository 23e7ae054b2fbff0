//! The command line: what can be asked, and the help that says so. Checks form only; what a staging allows is for
//! `dms` to say.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::{ArgValueCompleter, Shell};
use dm_domain::ids::StagingName;
use uuid::Uuid;

use crate::commands::complete;
use crate::overrides::SetArgs;
use crate::words;

mod write;

pub(crate) use write::{
    ApplyArgs, CancelArgs, ChangeArgs, CleanupArgs, NamesWriteArgs, RetryArgs, WhenBusy, WriteArgs,
};

const EXIT_CODES: &str = "\
Exit codes:
    0  done, or already so
    1  the run ended otherwise than asked for
    2  wrong usage
    3  refused by dms
    4  not signed in, or not allowed
    5  dms cannot be reached, or cannot be trusted
    6  --timeout has passed
    7  not found
  130  interrupted by you: Ctrl-C, or a No; a run that has begun goes on";

const EXAMPLES: &str = "\
Examples:
  dmc create demo --tag v1 --app greeting=hello --wait
  dmc update demo --tag v2 --reason 'the fix for the login' --wait
  dmc open demo
  dmc logs demo -f
  dmc delete demo --wait            its volumes stay; `dmc restore demo` undoes it
  dmc cleanup demo -y --wait        everything goes; `dmc history demo` stays

";

/// Asks a DM (Deploy Manager) for stagings: whole copies of a product, each for a branch, a tester or a demo.
#[derive(Debug, Parser)]
#[command(name = "dmc", version, disable_help_subcommand = true, after_help = format!("{EXAMPLES}{EXIT_CODES}"))]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
    #[command(flatten)]
    pub(crate) show: ShowArgs,
}

/// Which `dms`, and by which certificate.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Connection (default: DM_HOME/dmc.toml, which `dms serve` writes)")]
pub(crate) struct ConnectionArgs {
    /// Where dms listens for dmc: https://HOST:PORT
    #[arg(long, global = true, env = "DM_URL", hide_env_values = true, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// The certificate to sign in with, a PEM file
    #[arg(long, global = true, env = "DM_CERT", hide_env_values = true, value_name = "FILE")]
    pub(crate) cert: Option<PathBuf>,
    /// The key of that certificate, a PEM file
    #[arg(long, global = true, env = "DM_KEY", hide_env_values = true, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
    /// The authority that dms must be of, a PEM file
    #[arg(long, global = true, env = "DM_CA", hide_env_values = true, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// Which of the dms that `dmc context` keeps
    #[arg(long, global = true, env = "DM_CONTEXT", hide_env_values = true, value_name = "CONTEXT")]
    pub(crate) context: Option<String>,
    /// How long a read is tried again while dms cannot be reached, as while it starts anew
    #[arg(
        long, global = true, env = "DM_RETRY_FOR", hide_env_values = true, value_name = "TIME", default_value = "15s",
        value_parser = words::parse_duration
    )]
    pub(crate) retry_for: Duration,
}

/// How to show what comes back.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct ShowArgs {
    /// The form of what is printed on stdout
    #[arg(short, long, global = true, value_enum, default_value_t = Format::Table, value_name = "FORMAT")]
    pub(crate) output: Format,
    /// Leave out the line that names the columns
    #[arg(long, global = true)]
    pub(crate) no_headers: bool,
    /// Say nothing on stderr but errors
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
}

/// The form of data on stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Format {
    /// For people; fits the terminal
    #[default]
    Table,
    /// For people, with more columns
    Wide,
    /// For scripts: one JSON document
    Json,
    /// The same as YAML
    Yaml,
    /// Only names, one on a line; of runs their ids
    Name,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create a staging
    #[command(after_help = CREATE_EXAMPLES)]
    Create {
        #[command(flatten)]
        name: NameArg,
        /// The version of the product to deploy
        #[arg(long, value_name = "TAG", add = tags())]
        tag: String,
        #[command(flatten)]
        set: SetArgs,
        #[command(flatten)]
        write: WriteArgs,
    },
    /// Make a staging what it shall be: create, update or restore it, or nothing if all is so already
    ///
    /// What CI wants. Everything not named stays.
    #[command(after_help = APPLY_EXAMPLES)]
    Apply(ApplyArgs),
    /// Give a staging another tag or other overrides; everything not named stays
    ///
    /// An update always starts a run, also when nothing changes.
    #[command(after_help = UPDATE_EXAMPLES)]
    Update(ChangeArgs),
    /// Archive stagings: their pods go, their volumes stay; `dmc restore` undoes it
    #[command(visible_alias = "archive")]
    Delete(NamesWriteArgs),
    /// Bring an archived staging back, with its latest configuration and what is changed here
    Restore(ChangeArgs),
    /// Remove everything of archived stagings, volumes included; history stays, the names are free again
    #[command(after_help = CLEANUP_EXAMPLES)]
    Cleanup(CleanupArgs),
    /// Run the verb of the last run again, with the latest configuration
    Retry(RetryArgs),
    /// Stop what is under way, or take it back if it has not begun
    Cancel(CancelArgs),
    /// List stagings
    #[command(visible_alias = "ls")]
    List(ListArgs),
    /// Show everything of one staging: status, links, last run, configuration, what can be done next
    #[command(visible_alias = "get")]
    Info(NameArg),
    /// Show the output of a run: by default of the last one
    ///
    /// On a terminal, control sequences are shown instead of obeyed. Into a file or a pipe the bytes go as the wrapper
    /// wrote them.
    Logs(LogsArgs),
    /// List the runs of a staging, newest first
    Runs {
        #[command(flatten)]
        name: NameArg,
        /// Show at most this many
        #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
    },
    /// Tell the whole story of a name: when, who, what and why, newest last; also after its cleanup
    History(NameArg),
    /// Wait until a staging is running, archived or gone
    ///
    /// Ends with 1 as soon as nothing is under way that leads there, and with 6 when the time is up.
    Wait {
        #[command(flatten)]
        name: NameArg,
        /// What to wait for
        #[arg(long = "for", value_enum, ignore_case = true, value_name = "GOAL")]
        goal: Goal,
        /// Wait at most this long: 90s, 30m, 1h30m
        #[arg(long, value_name = "TIME", default_value = "30m", value_parser = words::parse_duration)]
        timeout: Duration,
    },
    /// Print the link of a staging, and open it where there is a display
    Open {
        #[command(flatten)]
        name: NameArg,
        /// Which link, where there are several (default: the first)
        #[arg(value_name = "LINK")]
        link: Option<String>,
        /// Only print it
        #[arg(long)]
        print: bool,
    },
    /// Make a name for a staging from any text, such as the name of a branch; always the same from the same
    NameFrom {
        /// The text
        #[arg(value_name = "TEXT", allow_hyphen_values = true)]
        text: String,
    },
    /// Keep several dms under names of their own, and choose between them
    #[command(subcommand)]
    Context(ContextCommand),
    /// Show each setting, its value, and where it comes from
    Config,
    /// Print what a shell needs to complete dmc: eval "$(dmc completions bash)"
    #[command(after_help = COMPLETIONS_EXAMPLES)]
    Completions {
        /// Which shell
        #[arg(value_enum, value_name = "SHELL")]
        shell: Shell,
    },
    /// Write the man pages into a folder
    Man {
        /// The folder, which must exist
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
    /// Print the versions of dmc and of dms
    Version,
}

/// What can be done with contexts.
#[derive(Debug, Subcommand)]
pub(crate) enum ContextCommand {
    /// List them; the one in use is marked
    List,
    /// Use one from now on
    Use {
        /// Its name
        #[arg(value_name = "CONTEXT")]
        context: String,
    },
    /// Add one, or change it, from --url, --cert, --key and --ca
    Add {
        /// Its name
        #[arg(value_name = "CONTEXT", value_parser = crate::contexts::parse_name)]
        context: String,
    },
    /// Remove one
    Remove {
        /// Its name
        #[arg(value_name = "CONTEXT")]
        context: String,
    },
}

const CREATE_EXAMPLES: &str = "\
Examples:
  dmc create demo --tag v1
  dmc create demo --tag v1 --app greeting='hello there' --staging-json replicas=2 --wait
  dmc create demo --tag 58467965 -f overrides.json --reason 'for the review on Friday'

FILE is one JSON document, {\"app\": {KEY: VALUE, ...}, \"staging\": {KEY: VALUE, ...}}, both optional, keys dotted.
A JSON string is a text, as by --app; every other value is JSON, as by --app-json. What a flag says of a key wins.";

const APPLY_EXAMPLES: &str = "\
Examples:
  dmc apply demo --tag v2 --wait
  dmc apply \"$(dmc name-from \"$BRANCH\")\" --tag \"$TAG\" --when-busy cancel --wait --on-behalf \"$AUTHOR\"";

const CLEANUP_EXAMPLES: &str = "\
Examples:
  dmc cleanup demo -y --wait
  dmc cleanup --archived-for 14d -y
  dmc cleanup broken --force --reason 'its cluster is gone' -y";

const COMPLETIONS_EXAMPLES: &str = "\
For good:
  echo 'eval \"$(dmc completions bash)\"' >> ~/.bashrc
  echo 'eval \"$(dmc completions zsh)\"' >> ~/.zshrc
  echo 'dmc completions fish | source' >> ~/.config/fish/config.fish";

const UPDATE_EXAMPLES: &str = "\
Examples:
  dmc update demo --tag v2 --wait
  dmc update demo --app greeting=hello --reset-app colour
  dmc update demo --unset-app debug --reason 'it is not to have one'

`--unset-app K` hides the default: the product does not get K at all.
`--reset-app K` drops the override: the default applies again.";

/// One staging.
#[derive(Debug, Args)]
pub(crate) struct NameArg {
    /// The name of the staging
    #[arg(value_name = "NAME", value_parser = StagingName::parse, add = names())]
    pub(crate) name: StagingName,
}

/// Which stagings to list.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only those of this status; may be given several times
    #[arg(long, value_enum, ignore_case = true, value_name = "STATUS")]
    pub(crate) status: Vec<StatusArg>,
    /// Only those whose name or tag contains this text
    #[arg(long = "q", value_name = "TEXT")]
    pub(crate) text: Option<String>,
    /// Archived ones too
    #[arg(long)]
    pub(crate) archived: bool,
    /// Only those that have been archived for at least this long: 14d, 12h
    #[arg(long, value_name = "AGE", value_parser = words::parse_age)]
    pub(crate) archived_for: Option<Duration>,
    /// In this order: name, status, created, changed or archived; with a - in front the other way round
    #[arg(long, value_name = "FIELD", default_value = "name", allow_hyphen_values = true)]
    pub(crate) sort: String,
    /// Show at most this many
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: Option<u32>,
}

/// The six statuses, as they are written everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "verbatim")]
pub(crate) enum StatusArg {
    /// Up
    Running,
    /// In trouble
    Failure,
    /// A create or a restore is under way
    CreatePending,
    /// An update is under way
    UpdatePending,
    /// A delete is under way
    DeletePending,
    /// Pods gone, volumes kept
    Archived,
}

/// Which output to show, and how.
#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    #[command(flatten)]
    pub(crate) name: NameArg,
    /// Which run (see `dmc runs`)
    #[arg(long, value_name = "ID", value_parser = run_id)]
    pub(crate) run: Option<Uuid>,
    /// Follow the run until it ends, through all its attempts
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Begin with the last N lines
    #[arg(long, value_name = "N")]
    pub(crate) tail: Option<u32>,
}

/// What `dmc wait` waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Goal {
    /// A check has passed
    Running,
    /// The pods are gone, and nothing is under way
    Archived,
    /// Cleaned up: the name is free
    Gone,
}

/// Completes the names of stagings.
fn names() -> ArgValueCompleter {
    ArgValueCompleter::new(complete::names)
}

/// Completes tags.
fn tags() -> ArgValueCompleter {
    ArgValueCompleter::new(complete::tags)
}

fn run_id(text: &str) -> Result<Uuid, &'static str> {
    Uuid::parse_str(text).map_err(|_| "that is not the id of a run; `dmc runs NAME` shows them")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden;
    use clap::CommandFactory;

    fn parse(line: &[&str]) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(std::iter::once(&"dmc").chain(line))
    }

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_name_is_checked_before_anything_is_asked() {
        let error = parse(&["info", "Not_A_Name"]).unwrap_err().to_string();
        assert!(error.contains("name must start with a-z"), "{error}");
    }

    #[test]
    fn verbs_have_the_aliases_that_people_try_first() {
        assert!(matches!(parse(&["archive", "demo"]).unwrap().command, Command::Delete(_)));
        assert!(matches!(parse(&["ls"]).unwrap().command, Command::List(_)));
        assert!(matches!(parse(&["get", "demo"]).unwrap().command, Command::Info(_)));
    }

    #[test]
    fn a_status_may_be_written_small() {
        let Command::List(args) = parse(&["list", "--status", "running"]).unwrap().command else { panic!("a list") };
        assert_eq!(args.status, [StatusArg::Running]);
        assert!(parse(&["wait", "demo", "--for", "Running"]).is_ok());
    }

    #[test]
    fn what_is_no_run_is_refused_with_the_way_to_one() {
        let error = parse(&["logs", "demo", "--run", "nix"]).unwrap_err().to_string();
        assert!(error.contains("`dmc runs NAME` shows them"), "{error}");
    }

    #[test]
    fn a_create_needs_a_tag_and_takes_no_reset() {
        assert!(parse(&["create", "demo"]).is_err());
        assert!(parse(&["create", "demo", "--tag", "1", "--reset-app", "a"]).is_err());
        assert!(parse(&["update", "demo", "--reset-app", "a"]).is_ok());
    }

    #[test]
    fn options_of_all_verbs_go_anywhere_on_the_line() {
        let cli = parse(&["list", "-o", "json", "--url", "https://there:1"]).unwrap();
        assert_eq!(cli.show.output, Format::Json);
        assert_eq!(cli.connection.url.as_deref(), Some("https://there:1"));
    }

    #[test]
    fn help_is_made_to_be_read() {
        let mut dmc = Cli::command().term_width(100);
        golden::assert("help", &dmc.render_help().to_string());
        dmc.build();
        let create = dmc.find_subcommand_mut("create").unwrap();
        golden::assert("help-create", &create.clone().term_width(100).render_long_help().to_string());
    }

    #[test]
    fn every_exit_code_stands_in_the_help() {
        let help = Cli::command().render_long_help().to_string();
        for code in [0, 1, 2, 3, 4, 5, 6, 7, 130] {
            assert!(help.contains(&format!("{code:>5}  ")), "{code} is missing");
        }
    }
}
