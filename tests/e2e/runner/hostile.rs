//! Wrappers that fork as fast as they can, and shims that are killed or stopped: nothing is left, and nothing runs twice.

use std::fs::File;
use std::time::Instant;

use dm_api::Status;
use dm_tests::cluster::Cluster;
use dm_tests::dms::Setup;
use dm_tests::eventually::eventually;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::world::{SOON, World, restart};

/// `rabbits COUNT SECONDS` forks for ever: each process has a child, and ends after this time, so that so many live at any
/// moment and none for long; every other one in sessions of their own, and nothing tells whose they are. They hold a lock
/// together, which is free when none of them lives, and only then. Left alone they end after a minute.
const RABBITS: &str = r#"
rabbits() {
  env -i /usr/bin/perl -e '
    use POSIX; use Fcntl ":flock";
    my ($count, $pause, $end) = (@ARGV, time + 60);
    $SIG{$_} = "IGNORE" for "TERM", "HUP", "INT";
    open my $lock, ">>", "alive" or die; flock $lock, LOCK_EX or die;
    my $number = 0;
    for (2 .. $count) { my $pid = fork; next if $pid; $number = $_; last }
    while (time < $end) {
      my $pid = fork; exit if $pid;
      setsid() if $number % 2; select undef, undef, undef, $pause if $pause;
    }
  ' "$1" "$2" < /dev/null > /dev/null 2>&1 &
  until ! flock --nonblock --shared alive true; do sleep 0.01; done
}
nothing_is_left() { flock --nonblock --shared alive true || echo "$0 began beside what was left" >> overlaps; }
shim() { echo $PPID > shim.new; mv shim.new shim; }
"#;

impl World {
    fn hostile(&self, program: &str, script: &str) {
        self.script(program, &format!("{RABBITS}\n{script}"));
    }

    /// Whether something lives that [`RABBITS`] has started.
    fn rabbits(&self) -> bool {
        File::open(self.file("alive")).is_ok_and(|file| file.try_lock_shared().is_err())
    }

    /// The shim that a script has named.
    async fn shim(&self) -> Pid {
        self.wait_for_file("shim").await;
        let text = std::fs::read_to_string(self.file("shim")).expect("it is there");
        std::fs::remove_file(self.file("shim")).expect("it is there");
        Pid::from_raw(text.trim().parse().expect("a process id"))
    }

    /// Kills `dms` in a create whose wrapper ends by no signal that it hears, and stops its shim.
    async fn leave_a_stopped_shim(&mut self) -> Pid {
        self.hostile("create", STUBBORN);
        self.create("demo").await;
        let shim = self.shim().await;
        self.dms.kill();
        stop(shim).await;
        assert!(self.rabbits(), "a stopped shim ends nothing");
        shim
    }

    fn attempts(&self) -> Vec<u32> {
        self.records().iter().filter(|record| record.is_start).map(|record| record.attempt).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrapper_that_forks_as_fast_as_it_can_ends_at_its_limit_and_holds_nothing_up() {
    let world = World::start("[limits]\ncreate = 3\n", &[], |setup| setup).await;
    world.hostile("create", "rabbits 20 0; sleep 600");
    let run = world.create("bomb").await;
    eventually("they run", SOON, async || world.rabbits().then_some(())).await;
    world.script("create", "true");
    let asked = Instant::now();
    world.create("calm").await;
    world.wait_status("calm", Status::Running).await;
    println!("the other staging took {:?}", asked.elapsed());
    let staging = world.wait_status("bomb", Status::Failure).await;
    assert!(!world.rabbits(), "something is left");
    assert_eq!(staging.reason.as_deref(), Some("run_failed"));
    assert_eq!(world.run(&run).await.outcome.as_deref(), Some("time limit"));
    println!("after {:?} it was over", asked.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_shim_is_killed_while_its_tree_forks_is_done_again_once_and_beside_nothing() {
    let world = World::start("", &[], |setup| setup).await;
    world.hostile("create", "nothing_is_left; if [ $DM_ATTEMPT = 1 ]; then rabbits 100 0.005; shim; sleep 600; fi");
    let run = world.create("demo").await;
    kill(world.shim().await, Signal::SIGKILL).expect("the shim runs");
    world.wait_status("demo", Status::Running).await;
    assert!(!world.rabbits(), "something is left");
    assert_eq!(world.attempts(), [1, 2]);
    assert_eq!(world.run(&run).await.attempt, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_and_an_info_whose_shims_are_killed_leave_nothing_and_are_asked_again() {
    let world = World::start("", &["info"], |setup| setup).await;
    let once = "nothing_is_left
        if [ -e was.$verb ]; then touch again.$verb; else touch was.$verb; rabbits 100 0.005; shim; sleep 600; fi";
    for program in ["check", "info"] {
        world.hostile(program, once);
    }
    world.create("demo").await;
    for program in ["check", "info"] {
        let shim = world.shim().await;
        assert!(world.file(&format!("was.{program}")).exists(), "{program} is the one");
        kill(shim, Signal::SIGKILL).expect("the shim runs");
        world.wait_for_file(&format!("again.{program}")).await;
    }
    world.wait_status("demo", Status::Running).await;
    assert!(!world.rabbits(), "something is left");
    assert_eq!(world.attempts(), [1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_that_hangs_with_all_it_has_started_ends_at_its_limit() {
    let world = World::start("[limits]\ncheck = 1\n", &[], |setup| setup).await;
    world.hostile(
        "check",
        "nothing_is_left; [ -e was ] && exit 0; touch was; trap '' TERM; rabbits 20 0.005; sleep 600",
    );
    world.create("demo").await;
    world.wait_status("demo", Status::Running).await;
    assert!(!world.rabbits(), "something is left");
}

/// Ignores signals, keeps a process that nothing marks, and names its shim.
const STUBBORN: &str = "nothing_is_left
    if [ $DM_ATTEMPT = 1 ]; then
      trap '' TERM HUP; exec 9>> alive; flock --exclusive 9
      env -i setsid sleep 600 & (setsid sleep 600 &)
      shim; sleep 600
    fi
    touch second";

/// Stops a process, and sees that it stands.
async fn stop(process: Pid) {
    kill(process, Signal::SIGSTOP).expect("it runs");
    eventually("it stands", SOON, async || has_state(process, 'T').then_some(())).await;
}

fn has_state(process: Pid, state: char) -> bool {
    std::fs::read_to_string(format!("/proc/{process}/stat")).is_ok_and(|stat| stat.contains(&format!(") {state} ")))
}

/// Whether it has ended; it may not have been reaped yet.
fn has_ended(process: Pid) -> bool {
    kill(process, None).is_err() || has_state(process, 'Z')
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_shim_whose_dms_was_killed_is_woken_by_the_next_start_and_ends_its_tree() {
    // The grace leaves time to stop it: before that the kernel wakes it, as its parent dies.
    let mut world = World::start("", &[], |setup| setup.argument("--grace=4s")).await;
    let shim = world.leave_a_stopped_shim().await;
    world = restart(world).await;
    world.wait_status("demo", Status::Running).await;
    assert!(!world.rabbits(), "something is left");
    assert_eq!(world.attempts(), [1, 2]);
    assert!(has_ended(shim), "the shim has ended");
    assert!(world.dms.log().contains("it is woken"), "{}", world.dms.log());
}

fn short(setup: Setup) -> Setup {
    setup.argument("--lease-ttl=3s").argument("--lease-renewal=300ms").argument("--grace=200ms")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_shim_whose_dms_was_killed_is_woken_by_another_dms_of_the_machine() {
    let short = |setup| short(setup).argument("--lease-ttl=6s").argument("--grace=2s");
    let mut world = World::start("", &[], short).await;
    world.leave_a_stopped_shim().await;
    let setup = short(world.setup());
    let other = tokio::task::spawn_blocking(move || setup.start()).await.expect("dms starts");
    world.wait_for_file("second").await;
    assert!(!world.rabbits(), "something is left");
    assert_eq!(world.attempts(), [1, 2]);
    assert!(other.log().contains("it is woken"), "{}", other.log());
    tokio::task::spawn_blocking(move || drop((other, world))).await.expect("it stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_shim_whose_lease_ends_is_killed_by_its_own_dms_before_that() {
    let cluster = Cluster::start();
    let world = World::on(&cluster.url(), "", &[], short).await;
    world.hostile("create", STUBBORN);
    world.create("demo").await;
    kill(world.shim().await, Signal::SIGSTOP).expect("the shim runs");
    cluster.crash();
    let away = Instant::now();
    eventually("nothing is left", SOON, async || (!world.rabbits()).then_some(())).await;
    println!("it was gone {:?} after the database", away.elapsed());
    cluster.again();
    world.wait_status("demo", Status::Running).await;
    assert_eq!(world.attempts(), [1, 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn when_memory_is_short_the_kernel_takes_a_wrapper_before_dms_and_its_shim() {
    let world = World::start("", &[], |setup| setup).await;
    world.script("create", "cat /proc/self/oom_score_adj /proc/$PPID/oom_score_adj > scores.new; mv scores.new scores");
    world.create("demo").await;
    world.wait_for_file("scores").await;
    let numbers = |text: String| text.lines().map(|line| line.parse().expect("a number")).collect::<Vec<i32>>();
    let scores = numbers(std::fs::read_to_string(world.file("scores")).expect("it is there"));
    let path = format!("/proc/{}/oom_score_adj", world.dms.pid());
    let [dms] = numbers(std::fs::read_to_string(path).expect("dms runs"))[..] else { panic!("one number") };
    let [wrapper, shim] = scores[..] else { panic!("two numbers: {scores:?}") };
    assert!(wrapper > dms && shim == dms, "dms {dms}, shim {shim}, wrapper {wrapper}");
    world.wait_status("demo", Status::Running).await;
}
