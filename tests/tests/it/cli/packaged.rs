//! What a package takes from the program itself: completions and manual pages.

use super::program;

async fn out(args: &[&str]) -> String {
    let said = program(args).output().await.unwrap();
    assert!(said.status.success(), "{args:?}: {}", String::from_utf8_lossy(&said.stderr));
    String::from_utf8(said.stdout).unwrap()
}

#[tokio::test]
async fn bash_completes_the_commands_of_a_command() {
    let script = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(script.path(), out(&["completions", "bash"]).await).unwrap();
    let ask = "source $0; COMP_WORDS=(eventfabric plugin roll); COMP_CWORD=2
               _eventfabric eventfabric roll plugin; echo ${COMPREPLY[@]}";
    let bash = std::process::Command::new("bash").args(["-c", ask]).arg(script.path()).output();
    let said = bash.expect("bash is there");
    assert_eq!(String::from_utf8_lossy(&said.stdout), "rollback\n");
}

#[tokio::test]
async fn other_shells_are_told_the_commands_too() {
    for shell in ["zsh", "fish"] {
        let script = out(&["completions", shell]).await;
        for word in ["migrate", "plugin", "rollback", "requeue"] {
            assert!(script.contains(word), "{shell} does not know {word}");
        }
    }
}

#[tokio::test]
async fn each_command_has_a_page_of_the_manual() {
    let dir = tempfile::tempdir().unwrap();
    out(&["manual", dir.path().to_str().unwrap()]).await;
    let page = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
    assert!(page("eventfabric.1").contains("event store on PostgreSQL"));
    assert!(page("eventfabric-dlq-requeue.1").contains("Only of this projection"));
    let pages = std::fs::read_dir(dir.path()).unwrap().count();
    let help = out(&["--help"]).await;
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let commands =
        commands.take_while(|line| !line.is_empty()).filter(|line| line.starts_with("  "));
    assert!(pages > commands.count(), "{pages} pages");
}
