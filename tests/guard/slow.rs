//! A reader of the stream that reads nothing, beside a guard.

use rescind_guard::Revoked;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::http::harness::client::basic;
use crate::stage::{Stage, accepts, refuses, until, within};

/// More than the server keeps at hand and all buffers on the way hold.
const ROWS: u64 = 120_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_reads_nothing_is_cut_off_and_delays_no_guard() {
    let stage = Stage::new().await;
    let guard = stage.guard(&stage.url()).await;
    until(|| guard.state().is_connected).await;
    let mut slow = TcpStream::connect(stage.address).await.unwrap();
    let head = format!(
        "GET /revocations/feed HTTP/1.1\r\nhost: {}\r\nauthorization: {}\r\nlast-event-id: {}\r\n\r\n",
        stage.address,
        basic(&stage.api.id, &stage.api.secret),
        stage.api.position().await
    );
    slow.write_all(head.as_bytes()).await.unwrap();
    let mut first = [0; 15];
    within(slow.read_exact(&mut first)).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200 OK");

    let [dead, live] = stage.tokens().await;
    let insert = format!(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS}) \
         INSERT INTO ledger (sequence, receipt_id, at, act, actor_kind, origin, subject_kind, subject_id) \
         SELECT (SELECT coalesce(max(sequence), 0) FROM ledger) + i, 'rcp_' || i, {}, 'app_revoked', 'user', 'page', 'grant', 'grt_' || i FROM n",
        stage.world.app.clock.now().millis()
    );
    let rows = stage.world.connects().adds_to_ledger(&insert, &[]);
    assert_eq!(rows as u64, ROWS);
    // Whoever writes besides the server does not wake it; its own act does.
    stage.app.revokes(&dead).await.is(200);
    within(guard.applied(ROWS + 1)).await;
    within(guard.ready()).await;
    refuses(&guard, &dead, Revoked::Token);
    accepts(&guard, &live);
    assert_eq!(guard.state().entries as u64, ROWS + 1);

    // Now it reads, and its stream ends before it has everything.
    let (mut text, mut piece) = (Vec::new(), vec![0; 1 << 16]);
    loop {
        let read = within(slow.read(&mut piece)).await.unwrap();
        if read == 0 {
            break;
        }
        text.extend_from_slice(&piece[..read]);
        // The body's end; the connection stays.
        if text.ends_with(b"\r\n0\r\n\r\n") {
            break;
        }
    }
    let events = text.windows(4).filter(|part| *part == b"id: ").count() as u64;
    assert!(0 < events && events < ROWS, "{events}");
}
