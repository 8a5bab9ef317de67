use std::sync::LazyLock;

/// The version of the build, with the commit if the build was told one: `0.1.0 (1a2b3c4)`.
///
/// `ARCUS_COMMIT` in the environment of the build says which.
pub fn version() -> &'static str {
    static VERSION: LazyLock<String> = LazyLock::new(|| match option_env!("ARCUS_COMMIT") {
        Some(commit) if !commit.is_empty() => format!("{} ({commit})", env!("CARGO_PKG_VERSION")),
        _ => env!("CARGO_PKG_VERSION").to_owned(),
    });
    &VERSION
}
