//! Models in a gateway: loaded beside what runs, exchanged without a gap, and nobody's ruin.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use edgewit_domain::control::{Command, ModelStatus, NotTaken, Reloaded, Reply};
use edgewit_gateway::check::check;
use edgewit_gateway::trial::{Subject, Trial, TrialOutcome};

use crate::onnx::adds;
use crate::world::{Listener, Running, World, component, echo, eventually, worker};

/// A file of the folder `models`.
fn shipped(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models").join(name)).unwrap()
}

/// In the place of what is there, at once.
fn put(world: &World, name: &str, content: &[u8]) {
    std::fs::write(world.path("new"), content).unwrap();
    std::fs::rename(world.path("new"), world.path(name)).unwrap();
}

fn model(name: &str, further: &str) -> String {
    format!("[model.{name}]\nfile = \"{name}.onnx\"\n{further}\n")
}

/// Asks the model `of` for what it is told to at `NAME/in`, and answers at `nn/out`.
fn asker(name: &str, of: &str) -> String {
    component(name, "nn", &format!("grant.model.model = \"{of}\"\nlimits.wall = \"2m\"\n"))
}

/// What `adds(more)` answers to `x`.
fn sum(x: u32, more: f32) -> String {
    (x as f32 + more).to_string()
}

/// The number that was answered, or why there is none.
fn value_of(answer: String) -> String {
    match answer.strip_prefix("y TensorType::Fp32 1 ") {
        Some(value) => value.to_owned(),
        None => answer,
    }
}

fn reload(running: &Running<'_>) -> Reloaded {
    match running.command(Command::Reload) {
        Reply::Reloaded(reloaded) => *reloaded,
        other => panic!("{other:?}"),
    }
}

fn status(running: &Running<'_>, name: &str) -> ModelStatus {
    running.status().models.remove(name).unwrap_or_else(|| panic!("no model {name}"))
}

fn until_loaded(running: &Running<'_>, name: &str) -> ModelStatus {
    eventually(name, || match status(running, name) {
        status if status.state.word() == "ready" => Ok(status),
        other => Err(Box::new(other)),
    })
}

fn ask(running: &Running<'_>, answers: &Listener, asker: &str, x: u32) -> String {
    running.publish(&format!("{asker}/in"), &format!("run x f32 1 {x}"));
    value_of(answers.next())
}

/// Threads of this process that a model of this name has. The kernel shows 15 bytes of a name.
fn threads_of(name: &str) -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|comm| comm.trim() == format!("edgewit-m-{name}")).count()
}

#[test]
fn a_model_that_cannot_be_loaded_keeps_nobody_from_starting_and_who_asks_is_told() {
    let world = World::with(&model("bad", ""), &[asker("asks", "bad"), echo("good", "")]);
    put(&world, "bad.onnx", b"This is no model.\n");
    let running = world.run(&["asks", "good"]);
    let answers = running.listen("nn/out");
    let answer = ask(&running, &answers, "asks", 1);
    assert!(answer.contains("model `bad` is not there: "), "{answer}");
    running.assert_good();
    let bad = status(&running, "bad");
    assert_eq!((bad.state.word(), bad.failures, bad.digest.as_str()), ("failed", 1, ""), "{bad:?}");
    assert!(reload(&running).models_failed.contains_key("bad"), "the next reload tries again");

    put(&world, "bad.onnx", &adds(10.0));
    assert_eq!(reload(&running).models, ["bad"]);
    assert_eq!(ask(&running, &answers, "asks", 1), sum(1, 10.0), "the graph that it holds answers now");
    let good = status(&running, "bad");
    assert_eq!((good.state.word(), good.runs, good.failures), ("ready", 1, 1), "{good:?}");
}

#[test]
fn who_asks_a_model_that_is_being_loaded_waits_for_it() {
    let world = World::with(&model("later", "instances = 64\nwarm-up = 1000"), &[asker("asks", "later")]);
    put(&world, "later.onnx", &adds(1.0));
    // From now on the component is compiled, and starts before the model has.
    world.run(&["asks"]).gateway.shutdown();
    let running = world.start();
    let answers = running.listen("nn/out");
    running.publish("asks/in", "run x f32 1 1");
    running.until("asks", |status| status.state.word() == "running");
    assert_eq!(status(&running, "later").state.word(), "loading");
    assert_eq!(value_of(answers.next()), sum(1, 1.0));
}

/// Each request is a number, and each model adds another: what is answered tells both.
#[test]
fn a_model_that_is_exchanged_under_load_loses_no_request_and_answers_at_once() {
    const STEP: usize = 100_000;
    const REQUESTS: usize = 1000;
    let names = ["one", "two", "three"];
    let askers = names.map(|name| asker(name, "busy"));
    let world = World::with(&model("busy", "instances = 2\nqueue = 64\ntime = \"30s\""), &askers);
    put(&world, "busy.onnx", &adds(0.0));
    let running = world.run(&names);
    until_loaded(&running, "busy");
    let answers = running.listen("nn/out");
    let (over, current) = (AtomicBool::new(false), AtomicUsize::new(0));
    let answered: BTreeMap<usize, usize> = std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let (mut asked, mut answered) = (0, BTreeMap::new());
            while asked < REQUESTS || !over.load(Ordering::Relaxed) || answered.len() < asked {
                let more = asked < REQUESTS || !over.load(Ordering::Relaxed);
                if more && asked - answered.len() < 24 {
                    running.publish(&format!("{}/in", names[asked % 3]), &format!("run x f32 1 {asked}"));
                    asked += 1;
                    continue;
                }
                let answer = value_of(answers.next());
                let Ok(value) = answer.parse::<usize>() else {
                    panic!("{answer} after {} answers", answered.len());
                };
                let (request, by) = (value % STEP, value / STEP);
                assert!(by <= current.load(Ordering::Relaxed) + 1, "{value}");
                assert_eq!(answered.insert(request, by), None, "{request} was answered twice");
            }
            answered
        });
        for next in 1..=10 {
            put(&world, "busy.onnx", &adds((next * STEP) as f32));
            assert_eq!(reload(&running).models, ["busy"]);
            current.store(next, Ordering::Relaxed);
        }
        over.store(true, Ordering::Relaxed);
        asking.join().unwrap()
    });
    assert_eq!(ask(&running, &answers, "one", 7), sum(7, (10 * STEP) as f32), "from now on by the last alone");
    assert!(answered.len() >= REQUESTS && answered.keys().copied().eq(0..answered.len()), "{}", answered.len());
    let busy = status(&running, "busy");
    assert_eq!((busy.runs, busy.failures, busy.refused), (answered.len() as u64 + 1, 0, 0), "{busy:?}");
}

#[test]
fn after_a_reload_only_the_new_model_answers() {
    let world = World::with(&model("next", ""), &[asker("asks", "next")]);
    put(&world, "next.onnx", &adds(0.0));
    let running = world.run(&["asks"]);
    let answers = running.listen("nn/out");
    assert_eq!(ask(&running, &answers, "asks", 1), sum(1, 0.0));
    for more in 1..20 {
        put(&world, "next.onnx", &adds(more as f32));
        assert_eq!(reload(&running).models, ["next"]);
        assert_eq!(ask(&running, &answers, "asks", 1), sum(1, more as f32));
    }
    assert_eq!(running.component("asks").restarts, 0);
    assert_eq!(status(&running, "next").runs, 20, "counters are the name's, and outlive a model");
}

#[test]
fn the_old_model_stays_where_the_new_one_cannot_be_loaded() {
    let world = World::with(&model("kept", ""), &[asker("asks", "kept")]);
    put(&world, "kept.onnx", &adds(1.0));
    let running = world.run(&["asks"]);
    let answers = running.listen("nn/out");
    assert_eq!(ask(&running, &answers, "asks", 1), sum(1, 1.0));
    let digest = status(&running, "kept").digest;
    std::fs::write(world.path("kept.onnx"), "no model").unwrap();
    for again in ["", "the next reload tries again"] {
        let Reloaded { models, models_failed, .. } = reload(&running);
        let NotTaken { reason, old_stays } = &models_failed["kept"];
        assert!(models.is_empty() && *old_stays, "{reason} {again}");
        let kept = status(&running, "kept");
        assert_eq!((kept.state.word(), &kept.digest, kept.older.as_ref()), ("ready", &digest, Some(reason)));
    }
    assert_eq!(ask(&running, &answers, "asks", 2), sum(2, 1.0));
    std::fs::remove_file(world.path("kept.onnx")).unwrap();
    assert!(reload(&running).models_failed["kept"].reason.contains("kept.onnx cannot be read"));
    put(&world, "kept.onnx", &adds(1.0));
    assert_eq!(reload(&running), Reloaded::default(), "put back to what really answers");
    assert_eq!(status(&running, "kept").older, None);
}

#[test]
fn a_model_is_loaded_again_where_its_table_its_file_or_its_library_changed_and_nowhere_else() {
    let both = |further: &str| format!("{}{}", model("first", further), model("second", ""));
    let askers = [asker("asks", "first"), asker("others", "second")];
    let world = World::with(&both(""), &askers);
    put(&world, "first.onnx", &adds(1.0));
    put(&world, "second.onnx", &adds(2.0));
    let running = world.run(&["asks", "others"]);
    until_loaded(&running, "first");
    until_loaded(&running, "second");
    assert_eq!(reload(&running), Reloaded::default(), "there is nothing to do");
    world.configure(&both("queue = 3"), &askers);
    let changed = Reloaded { models: vec!["first".into()], ..Reloaded::default() };
    assert_eq!(reload(&running), changed);
    put(&world, "second.onnx", &adds(3.0));
    assert_eq!(reload(&running), Reloaded { models: vec!["second".into()], ..Reloaded::default() });
    world.configure(&format!("[onnxruntime]\nlibrary = \"x.so\"\n{}", both("queue = 3")), &askers);
    assert_eq!(reload(&running), Reloaded { settings: vec!["onnxruntime".into()], ..Reloaded::default() });
}

#[test]
fn a_model_that_is_removed_goes_when_the_last_who_may_use_it_lets_go() {
    let asks = asker("asks", "leave");
    let world = World::with(&model("leave", "instances = 2"), std::slice::from_ref(&asks));
    put(&world, "leave.onnx", &adds(1.0));
    let running = world.run(&["asks"]);
    let answers = running.listen("nn/out");
    assert_eq!(ask(&running, &answers, "asks", 1), sum(1, 1.0));
    assert_eq!(threads_of("leave"), 2);

    // Its new form cannot run, so the old one stays, and with it what that may use.
    std::fs::write(world.path("broken.wasm"), "not a component").unwrap();
    world.configure("", &[component("asks", "nn", "").replace("nn.wasm", "broken.wasm")]);
    assert!(reload(&running).failed.contains_key("asks"));
    assert!(running.status().models.is_empty());
    assert_eq!(ask(&running, &answers, "asks", 2), sum(2, 1.0));

    put(&world, "leave.onnx", &adds(5.0));
    world.configure(&model("leave", "instances = 2"), &[asks]);
    assert_eq!(reload(&running).models, ["leave"]);
    assert_eq!(ask(&running, &answers, "asks", 2), sum(2, 5.0), "who never let go gets what has come back");

    world.configure("", &[echo("asks", "")]);
    assert!(reload(&running).failed.is_empty());
    eventually("its threads end", || match threads_of("leave") {
        0 => Ok(()),
        left => Err(left),
    });
}

#[test]
fn a_slow_model_holds_up_only_those_who_ask_it() {
    let models = format!("{}{}", model("slow", "time = \"1m\"\nwarm-up = 0"), model("fast", ""));
    let world = World::with(&models, &[asker("patient", "slow"), asker("hasty", "fast"), echo("good", "")]);
    put(&world, "slow.onnx", &shipped("bad/slow-nodes.onnx"));
    put(&world, "fast.onnx", &adds(1.0));
    let running = world.run(&["patient", "hasty", "good"]);
    until_loaded(&running, "slow");
    let answers = running.listen("nn/out");
    running.publish("patient/in", "run x f32 1 1");
    for x in 0..20 {
        assert_eq!(ask(&running, &answers, "hasty", x), sum(x, 1.0));
        running.assert_good();
    }
    assert_eq!(running.component("patient").handled, 0, "it still waits");
}

#[test]
fn an_end_during_an_inference_and_during_a_load_comes_in_time() {
    let models = format!("{}{}", model("endin", "time = \"5m\"\nwarm-up = 0"), model("heavy", "memory = \"1GiB\""));
    let world = World::with(&format!("grace = \"1s\"\n{models}"), &[asker("patient", "endin"), asker("new", "heavy")]);
    put(&world, "endin.onnx", &shipped("bad/slow-nodes.onnx"));
    put(&world, "heavy.onnx", &shipped("bad/slow-when-loaded.onnx"));
    let running = world.run(&["patient", "new"]);
    until_loaded(&running, "endin");
    running.publish("patient/in", "run x f32 1 1");
    running.publish("new/in", "run x f32 1 1");
    for name in ["patient", "new"] {
        running.until(name, |status| status.queued == 0);
    }
    let started = Instant::now();
    running.gateway.shutdown();
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    eventually("its threads end", || match threads_of("endin") {
        0 => Ok(()),
        left => Err(left),
    });
}

#[test]
fn check_loads_each_model_and_says_which_key_is_to_blame() {
    let digest = format!("sha256:{}", "0".repeat(64));
    let tables = [
        model("good", ""),
        model("missing", ""),
        model("outside", "").replace("outside.onnx", "../outside.onnx"),
        model("garbage", ""),
        model("swapped", &format!("digest = \"{digest}\"")),
        model("large", "memory = \"1MiB\""),
        model("open", ""),
        model("elsewhere", "backend = \"onnxruntime\""),
        model("unfit", "shapes = { z = [1] }"),
    ];
    let library = "[onnxruntime]\nlibrary = \"no-such-library.so\"\n";
    let world = World::with(&format!("{library}{}", tables.concat()), &[echo("echo", "")]);
    put(&world, "garbage.onnx", b"This is no model.\n");
    put(&world, "large.onnx", &shipped("bad/slow-nodes.onnx"));
    put(&world, "open.onnx", &shipped("fixtures/batch.onnx"));
    for name in ["good", "swapped", "elsewhere", "unfit"] {
        put(&world, &format!("{name}.onnx"), &adds(1.0));
    }
    let report = check(&world.config(), &worker());
    let found: Vec<&str> = report.findings.iter().map(|finding| finding.path.as_str()).collect();
    let expected = [
        "model.elsewhere.backend",
        "model.garbage.file",
        "model.large.memory",
        "model.missing.file",
        "model.open.shapes",
        "model.outside.file",
        "model.swapped.digest",
        "model.unfit.shapes",
    ];
    assert_eq!(found, expected, "{report}");
    for finding in &report.findings {
        assert!(finding.line.is_some() && finding.problem.len() > 20, "{finding:?}");
    }
    let said = report.to_string();
    assert!(said.contains("model.good: good; `x`: [1] of f32 → `y`: [1] of f32\n"), "{said}");
    assert!(said.contains("component.echo: good"), "{said}");
    assert_eq!(report.models["good"].inputs, ["`x`: [1] of f32"]);
}

#[test]
fn no_model_is_read_from_outside_the_configuration_s_folder_however_its_name_leads_there() {
    let world = World::with(&model("link", ""), &[asker("asks", "link")]);
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("good.onnx"), adds(1.0)).unwrap();
    std::os::unix::fs::symlink(outside.path().join("good.onnx"), world.path("link.onnx")).unwrap();
    let running = world.run(&["asks"]);
    let answers = running.listen("nn/out");
    let answer = ask(&running, &answers, "asks", 1);
    assert!(answer.contains("link.onnx lies outside the configuration's folder; copy it in"), "{answer}");
}

#[test]
fn a_trial_computes_with_the_models_that_its_component_is_granted() {
    let models = format!("{}{}", model("tried", ""), model("other", ""));
    let world = World::with(&models, &[asker("asks", "tried")]);
    put(&world, "tried.onnx", &adds(1.0));
    let trial = || Trial::new(Subject::Configured { config: &world.config(), component: "asks" }, &worker());
    let said = match trial().unwrap().message("asks/in", b"run x f32 1 2".to_vec()) {
        TrialOutcome::Done(effects) => value_of(String::from_utf8(effects.publishes[0].payload.clone()).unwrap()),
        other => panic!("{other:?}"),
    };
    assert_eq!(said, sum(2, 1.0), "the other, whose file is missing, is nobody's concern");
    std::fs::remove_file(world.path("tried.onnx")).unwrap();
    let refused = trial().err().unwrap().to_string();
    assert!(refused.contains("model.tried: ") && refused.contains("cannot be read"), "{refused}");
}

#[test]
fn what_a_component_brings_is_looked_at_elsewhere_and_refused_with_the_reason() {
    let brings = component("brings", "nn", "grant.model-load.bytes = \"64KiB\"\nlimits.wall = \"1m\"\n");
    let world = World::new(&[brings, echo("good", "")]);
    let running = world.run(&["brings", "good"]);
    let answers = running.listen("nn/out");
    for _ in 0..3 {
        running.publish("brings/in", "load 1000");
        let answer = answers.next();
        assert!(answer.starts_with("InvalidEncoding: ") || answer.contains("ncoding"), "{answer}");
    }
    running.assert_good();
    assert_eq!(running.component("brings").restarts, 0);
}
