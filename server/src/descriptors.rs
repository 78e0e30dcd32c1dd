//! How many connections this process may have open.

/// File descriptors that are neither connections of the API nor to targets: the admin port's
/// connections (and as many again for the moment in which one gives way to another), listeners,
/// logs, the runtimes, files that are read.
const RESERVED: usize = 192;

/// What the limit is taken for where it cannot be read: the smallest that is usual.
const ASSUMED: usize = 1024;

/// The API's connections that fit into the process's limit of open files: half of what is not
/// reserved, since requests make connections to targets.
#[must_use]
pub fn connections() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    fit(most_open_files(&limits).unwrap_or(ASSUMED))
}

/// The soft limit in the text of `/proc/self/limits`.
fn most_open_files(limits: &str) -> Option<usize> {
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files "))?;
    match line.split_whitespace().next()? {
        "unlimited" => Some(usize::MAX),
        number => number.parse().ok(),
    }
}

fn fit(most_open_files: usize) -> usize {
    (most_open_files.saturating_sub(RESERVED) / 2).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_limit_of_open_files_leaves_descriptors_for_the_rest() {
        let limits = |most: &str| {
            format!(
                "Limit  Soft Limit  Hard Limit  Units\nMax open files            {most}                 4096                 files\n"
            )
        };
        for (most, connections) in [
            ("1024", 416),
            ("256", 32),
            ("100", 1),
            ("unlimited", (usize::MAX - RESERVED) / 2),
        ] {
            assert_eq!(
                most_open_files(&limits(most)).map(fit),
                Some(connections),
                "{most}"
            );
        }
        assert_eq!(most_open_files(""), None);
    }
}
