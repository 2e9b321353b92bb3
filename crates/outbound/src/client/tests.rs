//! Against servers on loopback, which have to be allowed to be reached at all.

use super::*;
use std::sync::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// A server that gives each request one of its answers, and remembers what it was asked.
struct Server {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

async fn serve(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut text = Vec::new();
            let mut buffer = [0; 4096];
            while !text.windows(4).any(|it| it == b"\r\n\r\n") {
                match stream.read(&mut buffer).await {
                    Ok(n) if n > 0 => text.extend_from_slice(&buffer[..n]),
                    _ => break,
                }
            }
            let text = String::from_utf8_lossy(&text).into_owned();
            let said = answer(&text);
            heard.lock().unwrap().push(text);
            stream.write_all(said.as_bytes()).await.ok();
        }
    });
    Server { url, asked }
}

fn ok(body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

fn to(place: &str) -> String {
    format!("HTTP/1.1 302 Found\r\nLocation: {place}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
}

fn open(allowed: &[&str]) -> Outbound {
    Outbound::new(allowed.iter().map(|it| it.parse().unwrap()).collect())
}

#[tokio::test]
async fn loopback_is_out_of_bounds_by_address_by_name_and_in_odd_spellings() {
    let server = serve(|_| ok("secret")).await;
    let port = server.url.rsplit(':').next().unwrap();
    for host in ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "0177.0.0.1", "[::1]", "[::ffff:127.0.0.1]"] {
        let said = open(&[]).send(&Request::get(format!("http://{host}:{port}/")), Limits::default()).await;
        assert!(matches!(said, Err(OutboundError::Refused { .. })), "{host}: {said:?}");
    }
    assert!(server.asked.lock().unwrap().is_empty());
    let said = open(&["127.0.0.1"]).send(&Request::get(&server.url), Limits::default()).await.unwrap();
    assert_eq!((said.status, said.body.as_slice()), (200, b"secret".as_slice()));
}

#[tokio::test]
async fn each_redirect_is_checked_again() {
    let server = serve(|_| to("http://169.254.169.254/latest/meta-data")).await;
    let said = open(&["127.0.0.1"]).send(&Request::get(&server.url), Limits::default()).await;
    assert!(matches!(said, Err(OutboundError::Refused { address, .. }) if address.to_string() == "169.254.169.254"));
    let server = serve(|_| to("http://localhost:1/")).await;
    let said = open(&["127.0.0.1"]).send(&Request::get(&server.url), Limits::default()).await;
    // `localhost` may be `::1` as well, which nobody allowed; or it is only 127.0.0.1, and nobody answers.
    assert!(matches!(said, Err(OutboundError::Refused { .. } | OutboundError::Broken { .. })));
    let server = serve(|_| to("file:///etc/passwd")).await;
    let said = open(&["127.0.0.1"]).send(&Request::get(&server.url), Limits::default()).await;
    assert!(matches!(said, Err(OutboundError::Url { .. })));
}

#[tokio::test]
async fn redirects_are_counted_and_headers_do_not_travel_to_another_host() {
    let server = serve(|_| to("/again")).await;
    let said = open(&["127.0.0.1"]).send(&Request::get(&server.url), Limits::default()).await;
    assert!(matches!(said, Err(OutboundError::Redirects { most: 3 })));
    assert_eq!(server.asked.lock().unwrap().len(), 4);

    let end = serve(|_| ok("here")).await;
    let place = end.url.clone();
    let first = serve(move |_| to(&place)).await;
    let mut request = Request::get(&first.url);
    request.headers.push(("x-secret".to_owned(), "canary".to_owned()));
    let said = open(&["127.0.0.1"]).send(&request, Limits::default()).await.unwrap();
    assert_eq!(said.body, b"here");
    assert!(first.asked.lock().unwrap()[0].contains("canary"));
    assert!(!end.asked.lock().unwrap()[0].contains("canary"));
}

#[tokio::test]
async fn an_answer_is_bounded_in_size_and_time() {
    let server = serve(|_| ok(&"x".repeat(5000))).await;
    let limits = Limits { bytes: 100, ..Limits::default() };
    let said = open(&["127.0.0.1"]).send(&Request::get(&server.url), limits).await.unwrap();
    assert_eq!((said.body.len(), said.truncated), (100, true));

    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let limits = Limits { time: Duration::from_millis(50), ..Limits::default() };
    let request = Request::get(format!("http://{}", silent.local_addr().unwrap()));
    let said = open(&["127.0.0.1"]).send(&request, limits).await;
    assert!(matches!(said, Err(OutboundError::TimedOut { .. })));
}

#[tokio::test]
async fn what_is_no_address_is_refused_and_a_password_is_not_repeated() {
    for bad in ["", "x", "ftp://host/", "gopher://host", "http://", "unix:/run/x"] {
        let said = open(&[]).send(&Request::get(bad), Limits::default()).await;
        assert!(matches!(said, Err(OutboundError::Url { .. })), "{bad}: {said:?}");
    }
    let said = open(&[]).send(&Request::get("http://me:canary@host/"), Limits::default()).await.unwrap_err();
    assert!(!format!("{said} {said:?}").contains("canary"));
    let mut odd = Request::get("http://1.1.1.1/");
    odd.headers.push(("Host".to_owned(), "inside".to_owned()));
    assert!(matches!(open(&[]).send(&odd, Limits::default()).await, Err(OutboundError::Header { .. })));
}

#[tokio::test]
async fn a_body_is_sent_and_never_along_a_redirect() {
    let server = serve(|_| to("/other")).await;
    let request = Request { method: "POST".to_owned(), body: b"hello".to_vec(), ..Request::get(&server.url) };
    let said = open(&["127.0.0.1"]).send(&request, Limits::default()).await.unwrap();
    assert_eq!((said.status, said.location.as_deref()), (302, Some("/other")));
    assert_eq!(server.asked.lock().unwrap().len(), 1);
}
