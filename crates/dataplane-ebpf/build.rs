//! Compiles `bpf/vrouter.bpf.c` with clang: once to forward, once to trace (`bpf/trace.h`);
//! and `bpf/look_ups.bpf.c`, for benchmarks.
//!
//! When something is missing the build says which Debian package has it.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

const SOURCE: &str = "bpf/vrouter.bpf.c";
const LOOK_UPS: &str = "bpf/look_ups.bpf.c";

fn main() -> ExitCode {
    println!("cargo::rerun-if-changed=bpf");
    println!("cargo::rerun-if-env-changed=CLANG");
    match compile() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            println!("cargo::error={message}");
            ExitCode::FAILURE
        }
    }
}

fn compile() -> Result<(), String> {
    let clang = env::var("CLANG").unwrap_or_else(|_| "clang".to_owned());
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    need_header("bpf/bpf_helpers.h", "libbpf-dev")?;
    need_header("linux/bpf.h", "linux-libc-dev")?;

    compile_to(&clang, SOURCE, &[], &out.join("vrouter.bpf.o"))?;
    compile_to(&clang, SOURCE, &["-DTRACING"], &out.join("trace.bpf.o"))?;
    compile_to(&clang, LOOK_UPS, &[], &out.join("look_ups.bpf.o"))
}

fn compile_to(clang: &str, source: &str, defines: &[&str], object: &Path) -> Result<(), String> {
    let mut command = Command::new(clang);
    command
        // `v3` has 32-bit operations; clang 14 knows nothing newer.
        .args(["-g", "-O2", "-target", "bpf", "-mcpu=v3", "-std=gnu11"])
        .args(["-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter", "-Wno-sign-compare"])
        .args(defines)
        // The kernel's own headers keep <asm/types.h> there.
        .args(multiarch().map(|directory| format!("-I{}", directory.display())))
        .args(["-c", source, "-o"])
        .arg(object);
    let done = command.output().map_err(|error| {
        format!("`{clang}` does not start ({error}); on Debian: apt-get install clang")
    })?;
    if done.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&done.stderr);
    if text.contains("unable to create target") || text.contains("unknown target triple") {
        return Err(format!("`{clang}` has no BPF target; on Debian: apt-get install clang"));
    }
    for line in text.lines() {
        println!("cargo::warning={line}");
    }
    Err(format!("{clang} cannot compile {source}"))
}

fn need_header(header: &str, package: &str) -> Result<(), String> {
    let found = Path::new("/usr/include").join(header).exists()
        || multiarch().is_some_and(|directory| directory.join(header).exists())
        || Path::new("/usr/local/include").join(header).exists();
    found
        .then_some(())
        .ok_or_else(|| format!("<{header}> is missing; on Debian: apt-get install {package}"))
}

fn multiarch() -> Option<PathBuf> {
    let arch = env::var("HOST").ok()?.split('-').next()?.to_owned();
    let directory = PathBuf::from(format!("/usr/include/{arch}-linux-gnu"));
    directory.exists().then_some(directory)
}
