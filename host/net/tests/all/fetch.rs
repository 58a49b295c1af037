//! A request goes to a checked address of the granted origin, over TLS with a name that was proved, or nowhere; and
//! it ends in time whatever the other side does.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use edgewit_net::fetch::{Answer, FetchError, Fetcher, Origin, Timeouts};
use edgewit_net::tls::{Roots, TlsError};
use http::Request;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Bytes;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(200);
const PATIENT: Timeouts = Timeouts { connect: LONG, first_byte: LONG, between_bytes: LONG };

/// A certificate authority, and its certificate as PEM.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Authority(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn fetcher(&self) -> Fetcher {
        Fetcher::new(Roots::Pem(self.0.pem().as_bytes())).unwrap()
    }

    fn acceptor(&self, name: &str) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new([name.to_owned()]).unwrap().signed_by(&key, &self.0).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}

async fn listen() -> (TcpListener, u16) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// Answers one connection with `answer`, then keeps it open; hands out what it was sent.
async fn serve_plain(answer: &'static str) -> (u16, tokio::task::JoinHandle<(String, TcpStream)>) {
    let (listener, port) = listen().await;
    let served = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let head = read_head(&mut stream).await;
        stream.write_all(answer.as_bytes()).await.unwrap();
        (head, stream)
    });
    (port, served)
}

async fn serve_tls(acceptor: TlsAcceptor) -> u16 {
    let (listener, port) = listen().await;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // A client that does not believe the certificate hangs up.
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            read_head(&mut stream).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecret").await.unwrap();
            stream.shutdown().await.unwrap();
        }
    });
    port
}

async fn read_head(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

fn origin(https: bool, host: &str, port: u16) -> Origin {
    Origin { https, host: host.into(), port }
}

fn get() -> Request<Empty<Bytes>> {
    Request::get("http://elsewhere.example/path?query").body(Empty::new()).unwrap()
}

fn any(_: IpAddr) -> Result<(), String> {
    Ok(())
}

async fn body(answer: Answer) -> Result<Bytes, hyper::Error> {
    let read = async { tokio::join!(answer.response.into_body().collect(), answer.connection) };
    let (body, ()) = tokio::time::timeout(LONG, read).await.expect("the body neither came nor failed");
    Ok(body?.to_bytes())
}

async fn failure(fetcher: &Fetcher, origin: &Origin, timeouts: Timeouts) -> FetchError {
    match fetcher.send(get(), origin, any, timeouts).await {
        Ok(_) => panic!("it was answered"),
        Err(error) => error,
    }
}

#[tokio::test]
async fn a_server_with_a_certificate_that_is_believed_is_asked() {
    let authority = Authority::new();
    for name in ["localhost", "127.0.0.1"] {
        let port = serve_tls(authority.acceptor(name)).await;
        let answer = authority.fetcher().send(get(), &origin(true, name, port), any, PATIENT).await.unwrap();
        assert_eq!(body(answer).await.unwrap(), "secret");
    }
}

#[tokio::test]
async fn a_certificate_of_another_authority_or_name_is_not_believed() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    for acceptor in [theirs.acceptor("localhost"), ours.acceptor("other.example"), ours.acceptor("127.0.0.2")] {
        let port = serve_tls(acceptor).await;
        let error = failure(&ours.fetcher(), &origin(true, "localhost", port), PATIENT).await;
        assert!(matches!(error, FetchError::Certificate { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn a_machine_without_authorities_believes_nobody() {
    let authority = Authority::new();
    let port = serve_tls(authority.acceptor("localhost")).await;
    let system = Fetcher::new(Roots::System).unwrap();
    let error = failure(&system, &origin(true, "localhost", port), PATIENT).await;
    assert!(matches!(error, FetchError::Certificate { .. }), "{error:?}");
}

#[test]
fn a_file_of_authorities_is_all_good_or_refused() {
    let good = Authority::new().0.pem();
    assert_eq!(Fetcher::new(Roots::Pem(good.as_bytes())).unwrap().authorities(), 1);
    let (torn, _) = good.split_at(good.len() / 2);
    let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let refused = |text: &str| Fetcher::new(Roots::Pem(text.as_bytes())).err();
    assert!(matches!(refused(""), Some(TlsError::Empty)));
    assert!(matches!(refused(torn), Some(TlsError::NotPem { .. })));
    assert!(matches!(refused(&format!("{good}{garbage}")), Some(TlsError::Certificate { number: 2, .. })));
}

#[tokio::test]
async fn a_refused_address_is_never_connected_to_however_it_is_written() {
    let (listener, port) = listen().await;
    let fetcher = Authority::new().fetcher();
    for host in ["localhost", "127.0.0.1", "::ffff:127.0.0.1", "127.1", "0x7f000001", "2130706433"] {
        let seen = Mutex::new(Vec::new());
        let check = |address: IpAddr| {
            seen.lock().unwrap().push(address);
            if address.is_loopback() { Err("loopback".into()) } else { Ok(()) }
        };
        let outcome = fetcher.send(get(), &origin(false, host, port), check, PATIENT).await;
        let seen = seen.into_inner().unwrap();
        match outcome.err() {
            Some(FetchError::AddressRefused { address, reason }) => {
                assert!(address.is_loopback() && reason == "loopback", "{host}");
                assert!(!seen.is_empty(), "{host}");
            }
            // Not every resolver reads the odd spellings.
            Some(FetchError::Resolve { .. }) => assert!(seen.is_empty() && !["localhost", "127.0.0.1"].contains(&host)),
            other => panic!("{host}: {other:?}"),
        }
    }
    let nobody = tokio::time::timeout(SHORT, listener.accept()).await;
    assert!(nobody.is_err(), "a refused address was connected to");
}

#[tokio::test]
async fn of_several_addresses_only_the_permitted_ones_are_tried() {
    let (port, served) = serve_plain("HTTP/1.1 204 No Content\r\n\r\n").await;
    let only_v4 = |address: IpAddr| if address.is_ipv4() { Ok(()) } else { Err("no".into()) };
    let fetcher = Authority::new().fetcher();
    let answer = fetcher.send(get(), &origin(false, "localhost", port), only_v4, PATIENT).await.unwrap();
    assert_eq!(answer.response.status(), 204);
    assert_eq!(served.await.unwrap().1.local_addr().unwrap(), SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
}

#[tokio::test]
async fn the_request_is_addressed_to_its_origin_and_to_nothing_else() {
    let fetcher = Authority::new().fetcher();
    for (host, expected) in
        [("localhost", "localhost"), ("127.0.0.1", "127.0.0.1"), ("::ffff:127.0.0.1", "[::ffff:127.0.0.1]")]
    {
        let (port, served) = serve_plain("HTTP/1.1 204 No Content\r\n\r\n").await;
        let mut request = get();
        request.headers_mut().insert(http::header::HOST, "inside.example".parse().unwrap());
        fetcher.send(request, &origin(false, host, port), any, PATIENT).await.unwrap();
        let head = served.await.unwrap().0.to_lowercase();
        assert!(head.starts_with("get /path?query http/1.1\r\n"), "{head}");
        assert!(head.contains(&format!("\r\nhost: {expected}:{port}\r\n")), "{head}");
        assert!(!head.contains("inside.example") && !head.contains("elsewhere"), "{head}");
    }
    let tunnel = Request::connect("inside.example:22").body(Empty::<Bytes>::new()).unwrap();
    let outcome = fetcher.send(tunnel, &origin(false, "127.0.0.1", 1), any, PATIENT).await;
    assert!(matches!(outcome.err(), Some(FetchError::Method)));
}

#[tokio::test]
async fn a_redirect_is_an_answer_like_any_other() {
    let (port, _served) =
        serve_plain("HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n").await;
    let fetcher = Authority::new().fetcher();
    let answer = fetcher.send(get(), &origin(false, "127.0.0.1", port), any, PATIENT).await.unwrap();
    assert_eq!(answer.response.status(), 302);
}

#[tokio::test]
async fn a_body_goes_out_with_its_request() {
    let (listener, port) = listen().await;
    let served = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_head(&mut stream).await;
        let mut body = vec![0; 300_000];
        stream.read_exact(&mut body).await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n").await.unwrap();
        stream.write_all(&body).await.unwrap();
    });
    let sent = Bytes::from(vec![7; 300_000]);
    let request = Request::post("/").body(Full::new(sent.clone())).unwrap();
    let fetcher = Authority::new().fetcher();
    let answer = fetcher.send(request, &origin(false, "127.0.0.1", port), any, PATIENT).await.unwrap();
    assert_eq!(body(answer).await.unwrap(), sent);
    served.await.unwrap();
}

#[tokio::test]
async fn a_server_that_hangs_is_given_up_at_each_stage() {
    let fetcher = Authority::new().fetcher();
    let started = Instant::now();

    let (listener, port) = listen().await;
    let hung = Timeouts { connect: SHORT, ..PATIENT };
    let error = failure(&fetcher, &origin(true, "127.0.0.1", port), hung).await;
    assert!(matches!(error, FetchError::ConnectTimeout), "in the TLS handshake: {error:?}");

    let hung = Timeouts { first_byte: SHORT, ..PATIENT };
    let error = failure(&fetcher, &origin(false, "127.0.0.1", port), hung).await;
    assert!(matches!(error, FetchError::FirstByteTimeout), "before the answer: {error:?}");
    drop(listener);

    let (port, served) = serve_plain("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf").await;
    let hung = Timeouts { between_bytes: SHORT, ..PATIENT };
    let answer = fetcher.send(get(), &origin(false, "127.0.0.1", port), any, hung).await.unwrap();
    assert!(body(answer).await.is_err(), "in the middle of the answer");
    drop(served.await.unwrap());

    assert!(started.elapsed() < LONG / 2, "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_slow_reader_is_not_a_silent_server() {
    let (listener, port) = listen().await;
    let length = 8 * 1024 * 1024;
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_head(&mut stream).await;
        stream.write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n").as_bytes()).await.unwrap();
        stream.write_all(&vec![1; length]).await.unwrap();
    });
    let timeouts = Timeouts { between_bytes: SHORT, ..PATIENT };
    let fetcher = Authority::new().fetcher();
    let answer = fetcher.send(get(), &origin(false, "127.0.0.1", port), any, timeouts).await.unwrap();
    let mut driver = tokio::spawn(answer.connection);
    let mut incoming = answer.response.into_body();
    let first = incoming.frame().await.unwrap().unwrap().into_data().unwrap();
    // Longer than the limit between bytes, while more of them wait than anyone buffers.
    let ended = tokio::time::timeout(SHORT * 3, &mut driver).await;
    assert!(ended.is_err(), "who reads slowly was taken for a server that is silent");
    let rest = incoming.collect().await.unwrap().to_bytes();
    assert_eq!(first.len() + rest.len(), length);
    driver.await.unwrap();
}

#[tokio::test]
async fn an_answer_that_is_dropped_closes_its_connection() {
    let (port, served) = serve_plain("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf").await;
    let fetcher = Authority::new().fetcher();
    let answer = fetcher.send(get(), &origin(false, "127.0.0.1", port), any, PATIENT).await.unwrap();
    let (_, mut stream) = served.await.unwrap();
    drop(answer);
    let mut rest = Vec::new();
    let closed = tokio::time::timeout(LONG, stream.read_to_end(&mut rest)).await;
    assert!(closed.is_ok(), "the connection was left open");
}

#[tokio::test]
async fn nobody_listening_and_no_such_name_are_told_apart() {
    let fetcher = Authority::new().fetcher();
    let (listener, port) = listen().await;
    drop(listener);
    let error = failure(&fetcher, &origin(false, "127.0.0.1", port), PATIENT).await;
    assert!(matches!(error, FetchError::Connect { .. }), "{error:?}");
    let error = failure(&fetcher, &origin(false, "no-such-name.invalid", 80), PATIENT).await;
    // A machine whose name servers cannot be reached never learns that the name does not exist.
    assert!(matches!(error, FetchError::Resolve { .. } | FetchError::ConnectTimeout), "{error:?}");
}
