//! Wrappers that print without measure, or bytes that nobody wants on a screen: `dms` stays small, what is kept is exact,
//! and what people see does no harm.

use std::process::{Command, Stdio};
use std::time::Duration;

use dm_api::{Accepted, Status, runs::output};
use dm_tests::cluster::Cluster;
use dm_tests::eventually::eventually;
use dm_tests::processes;

use super::world::{SOON, World};

const MIB: usize = 1024 * 1024;

/// What a flood prints between its first and its last line.
const FLOOD: usize = 1024 * MIB;

/// A line of it.
const LINE: &str = "a line of the flood";

/// By when a flood is over, and the end of it stored, on a busy machine.
const OVER: Duration = Duration::from_mins(2);

/// Prints a flood once `go` is there.
fn flood() -> String {
    format!(
        "echo begins; touch ready.$DM_RUN_ID
         until [ -e go ]; do sleep 0.05; done
         yes '{LINE}' | head -c {FLOOD}; printf 'the very end'; touch printed.$DM_RUN_ID"
    )
}

impl World {
    /// Bytes of memory of `dms`: as many as it has now, and as it had at most since the last [`World::forget_peak`].
    fn memory(&self) -> (usize, usize) {
        let memory = processes::memory(self.dms.pid()).expect("dms runs");
        let bytes = |kib: u64| usize::try_from(kib * 1024).expect("it is in memory");
        (bytes(memory.resident), bytes(memory.peak))
    }

    fn forget_peak(&self) {
        std::fs::write(format!("/proc/{}/clear_refs", self.dms.pid()), "5").expect("dms is ours");
    }

    async fn wait_for_files(&self, what: &str, runs: &[Accepted]) {
        eventually(what, OVER, async || {
            let there = |run: &Accepted| self.file(&format!("{what}.{}", run.run.expect("a run"))).exists();
            runs.iter().all(there).then_some(())
        })
        .await;
    }

    /// Of a flood everything that is kept is right, the first MiB and the last four are kept, and it is said how much is
    /// not.
    async fn assert_flood(&self, run: &Accepted) {
        let begin = b"begins\n";
        let length = begin.len() + FLOOD + b"the very end".len();
        let line = format!("{LINE}\n").into_bytes();
        let (mut at, mut kept) = (0, 0);
        loop {
            let (bytes, headers) = self.output(run, i64::try_from(at).expect("it is small")).await;
            let number = |name: &str| headers[name].to_str().expect("text").parse::<usize>().expect("a number");
            let dropped = number(output::DROPPED);
            assert!(dropped == 0 || (at >= MIB && at + dropped <= length - 4 * MIB), "{dropped} dropped at {at}");
            at += dropped;
            for (offset, byte) in (at..).zip(&bytes) {
                let expected = match offset.checked_sub(begin.len()) {
                    None => begin[offset],
                    Some(offset) if offset < FLOOD => line[offset % line.len()],
                    Some(offset) => b"the very end"[offset - FLOOD],
                };
                assert_eq!(*byte, expected, "at {offset}");
            }
            at += bytes.len();
            kept += bytes.len();
            assert_eq!(number(output::NEXT), at);
            if headers[output::COMPLETE] == "true" {
                break;
            }
        }
        assert_eq!(at, length);
        assert!((5 * MIB..12 * MIB).contains(&kept), "{kept} bytes are kept");
    }
}

/// Runs floods of these stagings, after one quiet run, and says by how much the memory of `dms` has grown at most until
/// `during` was over.
async fn growth(world: &World, names: &[String], during: impl AsyncFnOnce(&[Accepted])) -> (usize, Vec<Accepted>) {
    world.script("create", "echo quiet");
    world.create("quiet").await;
    world.wait_status("quiet", Status::Running).await;
    world.script("create", &flood());
    let mut runs = Vec::new();
    for name in names {
        runs.push(world.create(name).await);
    }
    world.wait_for_files("ready", &runs).await;
    world.forget_peak();
    let (before, _) = world.memory();
    during(&runs).await;
    let (after, peak) = world.memory();
    println!("memory of dms: {before} before, {peak} at most, {after} afterwards");
    (peak - before, runs)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_prints_1_gib_takes_less_than_16_mib_of_memory() {
    let world = World::start("", &[], |setup| setup).await;
    let (grown, runs) = growth(&world, &["demo".to_owned()], async |runs| {
        std::fs::write(world.file("go"), "").expect("a file");
        world.wait_for_files("printed", runs).await;
        world.wait_status("demo", Status::Running).await;
    })
    .await;
    assert!(grown < 16 * MIB, "it has grown by {grown} bytes");
    world.assert_flood(&runs[0]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_runs_that_print_1_gib_each_while_the_database_is_away_take_less_than_64_mib() {
    let cluster = Cluster::start();
    let world = World::on(&cluster.url(), "", &[], |setup| setup.argument("--max-runs=8")).await;
    let names: Vec<_> = (1..=8).map(|number| format!("demo-{number}")).collect();
    let (grown, runs) = growth(&world, &names, async |runs| {
        // What was stored is on the disk by then, so that the crash takes none of it.
        for run in runs {
            eventually("the first line is stored", SOON, async || {
                (!world.output(run, 0).await.0.is_empty()).then_some(())
            })
            .await;
        }
        let pool = sqlx::PgPool::connect(&cluster.url()).await.expect("it runs");
        sqlx::raw_sql("CHECKPOINT").execute(&pool).await.expect("it obeys");
        pool.close().await;
        cluster.crash();
        std::fs::write(world.file("go"), "").expect("a file");
        world.wait_for_files("printed", runs).await;
        cluster.again();
        for name in &names {
            world.wait_status(name, Status::Running).await;
        }
    })
    .await;
    assert!(grown < 64 * MIB, "it has grown by {grown} bytes");
    for run in &runs {
        assert_eq!(world.run(run).await.attempt, 1, "it was not interrupted");
        world.assert_flood(run).await;
    }
}

/// Bytes that are not for a screen.
const STRANGE: &[u8] = b"\xff\xfe\xc3(\x00\x1b]0;title\x07\x1b[2J\x1b[31mred\x1b[0m 10%\r\xe2\x82\x9b\x9d50%\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn strange_bytes_and_a_line_of_10_mib_come_back_exactly_and_do_no_harm_to_whoever_looks() {
    let world = World::start("", &[], |setup| setup).await;
    std::fs::write(world.file("strange"), STRANGE).expect("a file");
    world.script(
        "create",
        "cat strange; head -c 10485760 /dev/zero | tr '\\0' x; printf '\\n'; cat strange
         printf '\\033[1mlast\\000 words\\033'; until [ -e go ]; do sleep 0.05; done; exit 3",
    );
    let run = world.create("demo").await;
    let live = eventually("the last line shows", SOON, async || {
        world.staging("demo").await.live.last_line.filter(|line| line.contains("words"))
    })
    .await;
    assert_eq!(live, "last words");
    std::fs::write(world.file("go"), "").expect("a file");
    let staging = world.wait_status("demo", Status::Failure).await;
    let cause = staging.cause.expect("there is one");
    assert!(cause.contains("red 10%") && cause.ends_with("last words"), "{cause:?}");
    let is_harmful = |one: char| one.is_control() && one != '\n' && one != '\t';
    assert!(!cause.contains(is_harmful), "{cause:?}");

    let (mut at, mut kept, mut come, mut whole) = (0, Vec::new(), Vec::new(), false);
    while !whole {
        let (bytes, headers) = world.output(&run, at).await;
        let dropped = headers[output::DROPPED].to_str().expect("text").parse::<usize>().expect("a number");
        kept.extend(std::iter::repeat_n(b'x', dropped));
        kept.extend_from_slice(&bytes);
        come.extend(bytes);
        at = i64::try_from(kept.len()).expect("it is small");
        whole = headers[output::COMPLETE] == "true";
    }
    let printed = [STRANGE, &vec![b'x'; 10 * MIB], b"\n", STRANGE, b"\x1b[1mlast\0 words\x1b"].concat();
    assert!(kept == printed, "{} bytes of {} came back", kept.len(), printed.len());
    let logs = Command::new(dmc()).args(["logs", "demo"]).env("DM_HOME", world.dms.home()).printed();
    assert!(logs == come, "dmc gives other bytes");

    let mut terminal = Command::new("script");
    terminal.args(["--quiet", "--return", "--command", &format!("{} logs demo", dmc().display()), "/dev/null"]);
    terminal.env_clear().env("PATH", "/usr/bin:/bin").env("TERM", "xterm").env("DM_HOME", world.dms.home());
    let shown = String::from_utf8(terminal.printed()).expect("a terminal is sent text");
    assert!(shown.contains("red^[[0m 10%^M") && shown.ends_with("last^@ words^["), "{:?}", shown.replace("xx", ""));
    let harm = shown.replace("\r\n", "\n").chars().find(|one| is_harmful(*one));
    assert_eq!(harm, None, "a terminal is sent this");
}

fn dmc() -> std::path::PathBuf {
    dm_tests::dms::executable().with_file_name("dmc")
}

trait Said {
    /// What it prints, once it has ended well.
    fn printed(&mut self) -> Vec<u8>;
}

impl Said for Command {
    fn printed(&mut self) -> Vec<u8> {
        let output = self.stdin(Stdio::null()).output().expect("it can be started");
        assert!(output.status.success(), "{} {}", output.status, String::from_utf8_lossy(&output.stderr));
        output.stdout
    }
}
