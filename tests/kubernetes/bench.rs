//! The measurement of `script/bench kubernetes` works. What it comes to is for people to read.

use dm_tests::dms::executable;
use dm_tests::kubernetes::Plane;

use crate::world::ended;

#[test]
fn a_quick_measurement_prints_its_table() {
    let plane = Plane::shared();
    let program = executable().with_file_name("dm-bench");
    assert!(program.is_file(), "{} is missing; build it with: cargo build -p dm-bench", program.display());
    let mut command = std::process::Command::new(program);
    command.args(["--kubernetes", "--quick"]).env("KUBECONFIG", plane.kubeconfig());
    let ended = ended(&command.output().expect("it can be started"));
    assert_eq!(ended.code, 0, "{ended:?}");
    for line in ["helm upgrade --install --wait, ready at once", "dmc create to Running"] {
        assert!(ended.stdout.lines().any(|printed| printed.starts_with(line)), "{ended:?}");
    }
    assert!(ended.stdout.contains(" times helm"), "{ended:?}");
}
