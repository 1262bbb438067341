//! The name server of the sandbox: Services and the records of private zones, over UDP and TCP.
//!
//! Nothing is forwarded: the network inside has no way out. The answers to A questions are all that programs here need;
//! other types of a known name get an empty answer, unknown names do not exist.

use std::io;
use std::net::SocketAddrV4;
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{RData, Record, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinHandle;

use crate::names::Names;
use crate::plan;
use crate::sandbox::Router;

/// CoreDNS' default for cluster names: a Service that is made anew may get another address.
const TTL_SECONDS: u32 = 5;
const LONGEST_DATAGRAM_BYTES: usize = 1232;
/// A client that says nothing for so long is forgotten.
const IDLE: Duration = Duration::from_secs(10);

/// Serves until dropped.
#[derive(Debug)]
pub struct NameServer {
    tasks: [JoinHandle<()>; 2],
}

impl NameServer {
    /// # Errors
    /// When the addresses are taken.
    pub fn start(router: &Arc<Router>, names: Names) -> io::Result<NameServer> {
        let address = SocketAddrV4::new(plan::DNS, 53);
        let (udp, tcp) = (router.bind_udp(address)?, router.listen(address)?);
        Ok(NameServer { tasks: [tokio::spawn(datagrams(udp, names.clone())), tokio::spawn(connections(tcp, names))] })
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

async fn datagrams(socket: UdpSocket, names: Names) {
    let mut buffer = [0; LONGEST_DATAGRAM_BYTES];
    loop {
        match socket.recv_from(&mut buffer).await {
            Ok((length, client)) => {
                if let Some(reply) = answer(&buffer[..length], &names) {
                    // A client that is gone needs no answer.
                    let _ = socket.send_to(&reply, client).await;
                }
            }
            // An earlier answer that found nobody; the socket itself goes on.
            Err(error) => tracing::debug!(%error, "a question was not received"),
        }
    }
}

async fn connections(listener: TcpListener, names: Names) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let names = names.clone();
                tokio::spawn(async move { tokio::time::timeout(IDLE, converse(stream, &names)).await });
            }
            Err(error) => {
                tracing::warn!(%error, "the name server could not accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn converse(mut stream: TcpStream, names: &Names) -> io::Result<()> {
    loop {
        let length = stream.read_u16().await?;
        let mut question = vec![0; usize::from(length)];
        stream.read_exact(&mut question).await?;
        let Some(reply) = answer(&question, names) else { return Ok(()) };
        let length = u16::try_from(reply.len()).map_err(io::Error::other)?;
        stream.write_all(&[&length.to_be_bytes(), reply.as_slice()].concat()).await?;
    }
}

/// None for what is not a question.
fn answer(bytes: &[u8], names: &Names) -> Option<Vec<u8>> {
    let request = Message::from_vec(bytes).ok()?;
    if request.metadata.message_type != MessageType::Query {
        return None;
    }
    let mut reply = Message::response(request.metadata.id, request.metadata.op_code);
    reply.metadata.recursion_desired = request.metadata.recursion_desired;
    reply.metadata.authoritative = true;
    match request.queries.first() {
        Some(query) if request.metadata.op_code == OpCode::Query => {
            match names.lookup(&query.name().to_ascii()) {
                Some(address) if query.query_type() == RecordType::A => {
                    reply.add_answer(Record::from_rdata(query.name().clone(), TTL_SECONDS, RData::A(A(address))));
                }
                Some(_) => {}
                None => reply.metadata.response_code = ResponseCode::NXDomain,
            }
            reply.add_query(query.clone());
        }
        _ => reply.metadata.response_code = ResponseCode::NotImp,
    }
    reply.to_vec().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_proto::op::Query;
    use hickory_proto::rr::Name;
    use std::collections::BTreeMap;
    use std::net::Ipv4Addr;

    fn check(name: &str, kind: RecordType, expected: Result<Option<Ipv4Addr>, ResponseCode>) {
        let names = Names::default();
        names.set_services(BTreeMap::from([("api.shop".to_owned(), Ipv4Addr::new(10, 100, 0, 7))]));
        names.insert("db.private.example", Ipv4Addr::new(10, 225, 0, 4));
        let mut question = Message::query();
        question.metadata.id = 7;
        question.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
        let reply = Message::from_vec(&answer(&question.to_vec().unwrap(), &names).unwrap()).unwrap();
        assert_eq!(reply.metadata.id, 7);
        let found = match reply.metadata.response_code {
            ResponseCode::NoError => Ok(reply.answers.first().map(|record| match &record.data {
                RData::A(address) => address.0,
                other => panic!("an answer of another type: {other:?}"),
            })),
            code => Err(code),
        };
        assert_eq!(found, expected, "{name}");
    }

    /// Differs (Network): The name server knows Services and private zones; nothing leads out of the network, so names of
    /// the Internet do not exist.
    #[test]
    fn answers_for_services_and_private_zones_only() {
        check("api.shop.svc.cluster.local.", RecordType::A, Ok(Some(Ipv4Addr::new(10, 100, 0, 7))));
        check("API.shop.svc.Cluster.local.", RecordType::A, Ok(Some(Ipv4Addr::new(10, 100, 0, 7))));
        check("api.shop.svc.cluster.local.", RecordType::AAAA, Ok(None));
        check("db.private.example.", RecordType::A, Ok(Some(Ipv4Addr::new(10, 225, 0, 4))));
        check("api.shop.", RecordType::A, Err(ResponseCode::NXDomain));
        check("example.org.", RecordType::A, Err(ResponseCode::NXDomain));
        assert_eq!(answer(b"no message", &Names::default()), None);
    }
}
