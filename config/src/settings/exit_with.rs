//! `exitWith`: the process of an app that a sidecar ends with.
//!
//! It says who is meant; whether such a process runs is not known here.

use super::value::Unfit;

/// Whose end is ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExitWith {
    /// The process of this number, as this process's own PID namespace counts.
    Pid(i32),
    /// Every process that this is the command name of: a file name, without a folder.
    Command(String),
}

impl ExitWith {
    /// Digits are a process's number, all else is a command's name.
    ///
    /// # Errors
    /// It can be neither.
    pub fn parse(text: &str) -> Result<ExitWith, Unfit> {
        let unfit = |fix| Unfit::new("the number of a process, or the file name of its command", fix);
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            let pid = text.parse().ok().filter(|&pid| pid > 0);
            return pid.map(ExitWith::Pid).ok_or_else(|| unfit("give a number from 1 on, as `ps` shows it"));
        }
        match text {
            "" => Err(unfit("name the app's command, or leave the setting out")),
            text if text.contains('/') => Err(unfit("leave the folders out: `/usr/bin/app` is `app`")),
            text => Ok(ExitWith::Command(text.to_owned())),
        }
    }
}

impl std::fmt::Display for ExitWith {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ExitWith::Pid(pid) => write!(f, "process {pid}"),
            ExitWith::Command(name) => write!(f, "`{name}`"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_a_process_and_all_else_a_command() {
        assert_eq!(ExitWith::parse("17"), Ok(ExitWith::Pid(17)));
        for name in ["app", "7zip", "-sh", "my app"] {
            assert_eq!(ExitWith::parse(name), Ok(ExitWith::Command(name.to_owned())));
        }
        for (wrong, fix) in
            [("", "leave the setting out"), ("0", "from 1 on"), ("99999999999", "from 1 on"), ("/bin/app", "leave the folders")]
        {
            assert!(ExitWith::parse(wrong).unwrap_err().fix.contains(fix), "{wrong}");
        }
    }
}
