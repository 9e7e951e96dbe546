//! Which container this process is in, by its own files.
//!
//! The engine mounts a container's `/etc/hostname` and `/etc/resolv.conf` from a folder that is called after the container; a sidecar gets
//! those of the container whose network it shares, which is the one that matters here. It asks nobody.

use std::fs;

use super::container::Id;

/// The container that this process is in, if it is in one.
pub(super) fn container() -> Option<Id> {
    fs::read_to_string("/proc/self/mountinfo").ok().and_then(|mounts| told_by(&mounts))
}

/// As told by `mountinfo` (proc(5)): of each mount the fourth field is where it comes from, and the fifth where it is.
fn told_by(mounts: &str) -> Option<Id> {
    const FILES: [&str; 3] = ["/etc/hostname", "/etc/resolv.conf", "/etc/hosts"];
    let source = |line: &str| {
        let mut fields = line.split(' ').skip(3);
        let (from, at) = (fields.next()?, fields.next()?);
        let (_, rest) = from.rsplit_once("/containers/").filter(|_| FILES.contains(&at))?;
        let id = rest.split('/').next()?;
        (id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit())).then(|| id.into())
    };
    mounts.lines().find_map(source)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "9d7424a873dc9c40f6f48ce8e2d4a33e93142975ba5486bccaa0c5143e7a1cba";

    #[test]
    fn the_files_of_a_container_name_it() {
        let mounts = format!(
            "77 60 0:45 / / rw - overlay overlay rw\n\
             94 77 254:0 /var/lib/docker/containers/{ID}/resolv.conf /etc/resolv.conf rw,relatime - ext4 /dev/vda rw\n"
        );
        assert_eq!(told_by(&mounts).as_deref(), Some(ID));
    }

    #[test]
    fn what_the_machine_mounts_for_others_does_not() {
        let shm = format!("94 77 0:61 / /var/lib/docker/containers/{ID}/mounts/shm rw - tmpfs shm rw\n");
        let elsewhere = format!("94 77 254:0 /var/lib/docker/containers/{ID}/data /mnt rw - ext4 /dev/vda rw\n");
        let own = "94 77 254:0 /srv/containers/hostname /etc/hostname rw - ext4 /dev/vda rw\n".to_owned();
        for mounts in [shm, elsewhere, own, String::new(), "x".to_owned()] {
            assert_eq!(told_by(&mounts), None, "{mounts}");
        }
    }
}
