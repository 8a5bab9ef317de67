//! How large the programs are, and how long the verifier takes over them, beside what they may be.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use aya::Ebpf;
use aya::programs::SchedClassifier;
use dataplane::{DataplaneError, Result};

use crate::kernel::Kernel;
use crate::options::{Hooks, Options};
use crate::pins::Pins;
use crate::programs::Hook;
use crate::{plane, tables, trace};

const CEILINGS: &str = include_str!("../ceilings.txt");

/// In numbers of instructions.
struct Size {
    object: &'static str,
    program: &'static str,
    /// Those that the verifier has followed, over all paths. The kernel's limit is a million.
    verified: u32,
    /// Those of the program, as the kernel has them.
    length: u32,
    /// Of the machine, in octets.
    code: u32,
}

fn load(object: &'static str, ebpf: &mut Ebpf, sizes: &mut Vec<Size>) -> Result<()> {
    for hook in Hook::ALL {
        let name = hook.program();
        let failed = |error| DataplaneError::because(format!("{object} {name}"), error);
        let program = ebpf.program_mut(name).expect("a program of the object");
        let program: &mut SchedClassifier = program.try_into().map_err(failed)?;
        program.load().map_err(failed)?;
        let info = program.info().map_err(failed)?;
        sizes.push(Size {
            object,
            program: name,
            verified: info.verified_instruction_count().expect("known since Linux 5.16"),
            length: info.size_translated().expect("the instructions") / 8,
            code: info.size_jitted(),
        });
    }
    Ok(())
}

/// Both objects, loaded as a plane does it.
fn measure(pins: &Pins, options: &Options) -> Result<Vec<Size>> {
    let mut sizes = Vec::new();
    let kernel = Kernel::here(Hooks::Best)?;
    pins.prepare()?;
    let (mut ebpf, _tables, ..) = tables::open(pins, &options.sizes, kernel, plane::OBJECT)?;
    load("forward", &mut ebpf, &mut sizes)?;
    tables::open_tracer(pins, kernel, |loader| {
        let traces = loader.load(trace::OBJECT);
        let mut ebpf = traces.map_err(|error| DataplaneError::because("trace", error))?;
        load("trace", &mut ebpf, &mut sizes)
    })?;
    Ok(sizes)
}

/// By object and program: most verified instructions, most instructions.
fn ceilings() -> BTreeMap<(&'static str, &'static str), (u32, u32)> {
    let lines = CEILINGS.lines().filter(|line| !line.starts_with('#'));
    let of = |line: &'static str| {
        let words: Vec<_> = line.split_whitespace().collect();
        let [object, program, verified, length] = words[..] else { panic!("`{line}`") };
        let number = |word: &str| word.parse().expect("a number");
        ((object, program), (number(verified), number(length)))
    };
    lines.map(of).collect()
}

#[test]
#[ignore = "needs root: make test-netns"]
fn the_programs_load_and_are_no_larger_than_they_may_be() {
    let options = Options::new(format!("sizes-{}", std::process::id()));
    let pins = Pins::new(&options).expect("a name");
    let sizes = measure(&pins, &options);
    pins.remove().expect("nothing is left");
    let sizes = sizes.expect("the kernel takes both objects");

    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let mut table = String::from("| kernel | object | program | verified | length | code |\n");
    table.push_str("|---|---|---|---|---|---|\n");
    for Size { object, program, verified, length, code } in &sizes {
        writeln!(table, "| {release} | {object} | `{program}` | {verified} | {length} | {code} |")
            .expect("a string");
    }
    eprintln!("{table}");

    let ceilings = ceilings();
    assert_eq!(ceilings.len(), sizes.len());
    for Size { object, program, verified, length, .. } in sizes {
        let (most_verified, most) = ceilings[&(object, program)];
        assert!(verified <= most_verified, "{object} {program}: {verified} are verified");
        assert!(length <= most, "{object} {program}: {length} instructions");
    }
}
