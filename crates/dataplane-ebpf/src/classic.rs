//! Programs on interfaces of kernels that have no tcx: filters of the `clsact` queue.
//!
//! A filter holds its program without anybody's help, so there is nothing to pin; all of ours have one place,
//! where the next agent's program replaces the last one's between two packets.

use aya::programs::links::Link as _;
use aya::programs::tc::{
    NlOptions, SchedClassifierLink, TcAttachOptions, TcError, TcHandle, qdisc_add_clsact,
};
use aya::programs::{ProgramError, SchedClassifier, TcAttachType};
use dataplane::DataplaneError;

/// Where our filters are: before those of who gives no number.
pub(crate) const PRIORITY: u16 = 50;
const HANDLE: TcHandle = TcHandle::new(0, 1);

/// Puts the program on the interface, in the place of one of ours that is there.
pub(crate) fn attach(program: &mut SchedClassifier, interface: &str) -> Result<(), ProgramError> {
    match qdisc_add_clsact(interface) {
        Ok(()) | Err(TcError::AlreadyAttached) => {}
        // It was there before.
        Err(TcError::NetlinkError(error)) if error.raw_os_error() == Some(EEXIST) => {}
        Err(error) => return Err(error.into()),
    }
    let there =
        SchedClassifierLink::attached(interface, TcAttachType::Ingress, PRIORITY, HANDLE, None)
            .map_err(TcError::IoError)?;
    let options = NlOptions { priority: PRIORITY, handle: HANDLE, classid: None };
    // If there is none to be replaced, it is the first.
    let id = program.attach_to_link(there).or_else(|_| {
        let options = TcAttachOptions::Netlink(options);
        program.attach_with_options(interface, TcAttachType::Ingress, options)
    })?;
    // Dropping the link would take the filter away, which shall stay when the agent goes.
    std::mem::forget(program.take_link(id)?);
    Ok(())
}

/// Takes our filter off the interface, if both are there.
pub(crate) fn detach(ifindex: u32) -> Result<(), DataplaneError> {
    let Ok(name) = rustix::net::netdevice::index_to_name_inlined(
        &rustix::net::socket(
            rustix::net::AddressFamily::INET,
            rustix::net::SocketType::DGRAM,
            None,
        )
        .map_err(|error| {
            DataplaneError::because("cannot open a socket", std::io::Error::from(error))
        })?,
        ifindex,
    ) else {
        return Ok(());
    };
    let link =
        SchedClassifierLink::attached(name.as_str(), TcAttachType::Ingress, PRIORITY, HANDLE, None);
    if let Ok(link) = link {
        // What is not there cannot be taken away.
        drop(link.detach());
    }
    Ok(())
}

/// File exists.
const EEXIST: i32 = rustix::io::Errno::EXIST.raw_os_error();
