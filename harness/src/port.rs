//! Ports that stay reserved, even while no server listens on them.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketFlags, SocketType, sockopt};

use crate::{Error, Result};

/// A reserved loopback port.
///
/// A server that is killed and restarted must get its old port, but the kernel might meanwhile give
/// it to another test's server, or to the very client that tries to reconnect, which would then
/// connect to itself. So a socket stays bound to it without listening. With `SO_REUSEADDR` on both
/// sides, Linux lets the server listen alongside, gives the port to no other socket, and refuses
/// connections while the server is down. On other systems the port is only likely to be free.
#[derive(Debug)]
pub(crate) struct Port {
    pub(crate) number: u16,
    _held: Option<OwnedFd>,
}

impl Port {
    pub(crate) fn reserve() -> Result<Self> {
        let (number, socket) =
            bind().map_err(|e| Error::io("cannot reserve a loopback port", e))?;
        Ok(Self {
            number,
            _held: cfg!(target_os = "linux").then_some(socket),
        })
    }
}

fn bind() -> std::result::Result<(u16, OwnedFd), Errno> {
    // Close-on-exec, or every server would inherit the ports of all others.
    let socket = net::socket_with(
        AddressFamily::INET,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    net::bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0))?;
    let address = SocketAddr::try_from(net::getsockname(&socket)?)?;
    Ok((address.port(), socket))
}
