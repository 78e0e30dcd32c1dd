//! Where a limit is found.

use super::*;

const V1: &str = "30 24 0:26 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n\
                  31 24 0:27 / /sys/fs/cgroup/cpu rw,relatime shared:5 - cgroup cgroup rw,cpu\n";
const V2: &str = "28 24 0:25 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";
const CONTAINER: &str =
    "28 24 0:25 /kubepods/pod1/abc /sys/fs/cgroup/memory ro - cgroup cgroup ro,memory\n";

#[test]
fn the_own_cgroup_and_all_around_it_are_looked_at() {
    let v1 = "/sys/fs/cgroup/memory";
    let hybrid = format!("{V1}29 24 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n");
    let table = [
        (
            "version 2",
            "0::/a/b\n",
            V2,
            vec![
                "/sys/fs/cgroup/a/b/memory.max".to_owned(),
                "/sys/fs/cgroup/a/memory.max".to_owned(),
                "/sys/fs/cgroup/memory.max".to_owned(),
            ],
        ),
        (
            "a namespace of its own",
            "0::/\n",
            V2,
            vec!["/sys/fs/cgroup/memory.max".to_owned()],
        ),
        (
            "version 1",
            "4:memory:/a\n1:cpu:/x\n",
            V1,
            vec![
                format!("{v1}/a/memory.limit_in_bytes"),
                format!("{v1}/memory.limit_in_bytes"),
            ],
        ),
        (
            "both",
            "4:memory:/\n0::/\n",
            &hybrid,
            vec![
                format!("{v1}/memory.limit_in_bytes"),
                "/sys/fs/cgroup/unified/memory.max".to_owned(),
            ],
        ),
        (
            "a container of version 1 that sees only itself",
            "4:memory:/kubepods/pod1/abc\n",
            CONTAINER,
            vec![format!("{v1}/memory.limit_in_bytes")],
        ),
        ("none", "", "", vec![]),
        ("nonsense", "x\n\n0:memory\n", "- - - cgroup2\n", vec![]),
    ];
    for (case, cgroups, mounts, expected) in table {
        let expected: Vec<PathBuf> = expected.into_iter().map(PathBuf::from).collect();
        assert_eq!(files(cgroups, mounts), expected, "{case}");
    }
}

#[test]
fn the_largest_numbers_are_no_limit() {
    let table = [
        ("536870912\n", Some(512 << 20)),
        ("max\n", None),
        ("9223372036854771712\n", None),
        ("", None),
        ("-1", None),
    ];
    for (text, expected) in table {
        assert_eq!(limit(text).map(|size| size.0), expected, "{text:?}");
    }
}

#[test]
fn the_smallest_limit_counts() {
    let root = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let file = root.path().join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    };
    write("proc/cgroup", "0::/pod/container\n");
    write("proc/mountinfo", V2);
    write("sys/fs/cgroup/pod/container/memory.max", "max\n");
    write("sys/fs/cgroup/pod/memory.max", "1000\n");
    write("sys/fs/cgroup/memory.max", "2000\n");
    let found = of_container(&root.path().join("proc"), root.path());
    assert_eq!(found, Some(ByteSize(1000)));
}

#[test]
fn the_flag_comes_before_the_field_and_both_before_the_container() {
    let (one, two) = (ByteSize::mib(1), ByteSize::mib(2));
    let chosen = |flag, field| {
        let Limit { bytes, origin } = Limit::choose(flag, field);
        (bytes, origin)
    };
    assert_eq!(chosen(Some(one), Some(two)), (one, Origin::Flag));
    assert_eq!(chosen(None, Some(two)), (two, Origin::Field));
}
