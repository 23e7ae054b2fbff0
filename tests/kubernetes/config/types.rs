//! Values arrive as what they are: tags and texts byte for byte, numbers where the chart has numbers, JSON as it is.

use dm_tests::kubernetes::{Plane, run};
use serde_json::{Value, json};

use super::LEAN;
use crate::world::{Start, World};

/// Texts that look like something else, or break what handles them carelessly.
const TEXTS: [(&str, &str); 20] = [
    ("digits", "58467965"),
    ("octal", "0123"),
    ("exponent", "1e10"),
    ("hex", "0x1F"),
    ("yes", "yes"),
    ("truth", "true"),
    ("null", "null"),
    ("tilde", "~"),
    ("nothing", ""),
    ("blanks", "  at both ends  "),
    ("lines", "one\ntwo\r\n\tthree\n"),
    ("quotes", r#"'one' "two" \three\"#),
    ("shell", "$HOME $(id) `id` ${x} %s !! ; | & > <"),
    ("template", "{{ .Release.Name }} {{- end }} }}"),
    ("commas", "a,b={c,d},e[0]=f"),
    ("equals", "a=b==c"),
    ("yaml", "- a: b # no comment\n? |\n--- *x &y !z"),
    ("unicode", "äöü ß 中文 😀 \u{2028} \u{feff}"),
    ("control", "bell \u{7} escape \u{1b}"),
    ("date", "2026-11-30"),
];

/// The environment of web, by name.
fn environment(world: &World, name: &str) -> Vec<(String, String)> {
    let web = world.namespace.find("deployment", &format!("{name}-web")).expect("it is there");
    let list = web["spec"]["template"]["spec"]["containers"][0]["env"].as_array().expect("a list").clone();
    let text = |variable: &Value, key: &str| variable[key].as_str().unwrap_or_default().to_owned();
    list.iter().map(|variable| (text(variable, "name"), text(variable, "value"))).collect()
}

fn released(world: &World, name: &str) -> Value {
    let printed = run(world.namespace.helm().args(["get", "values", name, "--output=json"]));
    serde_json::from_str(&printed).expect("helm prints JSON")
}

#[test]
fn texts_and_json_reach_the_pods_as_they_were_given() {
    let plane = Plane::shared();
    let world = Start::on(&plane).start();
    let texts: Vec<String> = TEXTS.iter().map(|(key, text)| format!("--app=text.{key}={text}")).collect();
    let mut arguments = vec!["create", "web", "--tag=1", "--unset-app=color", "--unset-app=log.level"];
    arguments.extend(LEAN.iter().filter(|one| !one.contains("replicas")));
    arguments.extend(texts.iter().map(String::as_str));
    arguments.extend([
        "--staging=web.replicas=3",
        "--app=workers=7",
        "--app=debug=true",
        "--app=ratio=1.50",
        "--app-json=number=12",
        "--app-json=flag=false",
        // helm has it, and folds it when it writes the manifest anew, so that only values can be asked for it.
        "--app=next.line=a\u{85}b",
        r#"--app-json=map={"a":[1,true,null,"x"],"b":"1"}"#,
    ]);
    world.done(&arguments);

    let found = environment(&world, "web");
    for (key, text) in TEXTS {
        let name = format!("text_{key}");
        let value = found.iter().find(|(other, _)| *other == name).map(|(_, value)| value.as_str());
        assert_eq!(value, Some(text), "{name}");
    }
    let of = |name: &str| found.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str());
    assert_eq!((of("color"), of("log_level")), (None, None), "an unset default is not there");
    assert_eq!(
        (of("number"), of("flag"), of("map_a"), of("map_b")),
        (Some("12"), Some("false"), Some(r#"[1,true,null,"x"]"#), Some("1"))
    );
    assert_eq!((of("workers"), of("debug"), of("ratio")), (Some("7"), Some("true"), Some("1.5")));
    let web = world.namespace.find("deployment", "web-web").expect("it is there");
    assert_eq!(web["spec"]["replicas"], 3);

    let values = released(&world, "web");
    assert_eq!(values["web"]["replicas"], json!(3));
    assert_eq!(values["env"]["workers"], json!(7));
    assert_eq!(values["env"]["debug"], json!(true));
    assert_eq!(values["env"]["number"], json!(12));
    assert_eq!(values["env"]["map"], json!({"a": [1, true, null, "x"], "b": "1"}));
    for (key, text) in TEXTS {
        assert_eq!(values["env"]["text"][key], json!(text), "{key}");
    }
    assert_eq!(values["env"]["next"]["line"], json!("a\u{85}b"));
}

#[test]
fn a_tag_is_a_text_whatever_it_looks_like() {
    let plane = Plane::shared();
    let world = Start::on(&plane).start();
    let tags = ["58467965", "1e10", "0123", "true"];
    std::thread::scope(|scope| {
        for (number, tag) in tags.iter().enumerate() {
            let world = &world;
            scope.spawn(move || {
                let name = format!("web{number}");
                let tag_flag = format!("--tag={tag}");
                world.done(&[&["create", &name, &tag_flag], &LEAN[..]].concat());
                let web = world.namespace.find("deployment", &format!("{name}-web")).expect("it is there");
                let image = &web["spec"]["template"]["spec"]["containers"][0]["image"];
                assert_eq!(*image, json!(format!("dm.test/ready:{tag}")));
                let config = world.namespace.find("configmap", &format!("{name}-config")).expect("it is there");
                assert_eq!(config["data"]["TAG"], json!(tag));
                assert_eq!(released(world, &name)["image"]["tag"], json!(tag));
                assert_eq!(world.info(&name)["tag"], json!(tag));
                assert_eq!(world.verb("check", &name, tag).code, 0);
            });
        }
    });
}
