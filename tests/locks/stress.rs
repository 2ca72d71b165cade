//! Processes that contend for one lock on real servers, while nodes are killed and processes are
//! killed and paused. What each process believed, and when, is checked afterwards.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use harness::{Cluster, LATEST, NatsServer};
use shizuku::kv::{BoxError, BucketConfig, lock::LockOptions, rw_lock::DistroRwLock};
use tokio::time::{Instant, sleep, timeout};

type Result<T = (), E = BoxError> = std::result::Result<T, E>;

const LEASE: Duration = Duration::from_secs(3);

/// All processes run on one machine, so its clock will do.
fn micros() -> u128 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_micros()
}

fn say(line: &str) {
    // `println!` would be captured by the test harness.
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").unwrap();
    out.flush().unwrap();
}

/// Not a test: the body of a worker process, started by running this binary again.
#[tokio::test]
async fn worker() -> Result {
    let Ok(role) = std::env::var("SHIZUKU_LOCK_WORKER") else {
        return Ok(());
    };
    let url = std::env::var("SHIZUKU_LOCK_URL")?;
    let seconds: u64 = std::env::var("SHIZUKU_LOCK_SECONDS")?.parse()?;
    let client = shizuku::connect(&url).await?;
    let store = client.open_bucket("locks").await?;
    let options = LockOptions::new().lease(LEASE).label(role.clone());
    let lock = DistroRwLock::with_options(&store, "r", options)?;
    if role == "hold" {
        let guard = lock.write().await?;
        say(&format!("grant w {} {}", guard.token(), micros()));
        return std::future::pending().await;
    }
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut round = std::process::id();
    while Instant::now() < end {
        round = round.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let hold = Duration::from_millis(u64::from(round >> 16) % 30);
        // A failed acquire is ignored: the service was away.
        macro_rules! turn {
            ($mode:literal, $acquire:ident) => {
                if let Ok(guard) = lock.$acquire().await {
                    let token = guard.token();
                    let until = Instant::now() + hold;
                    loop {
                        // The time is read first: if the process is paused in between, the logged
                        // statement is still true.
                        let now = micros();
                        if !guard.is_held() {
                            say(&format!("lost {role} {} {token} {now}", $mode));
                            break;
                        }
                        say(&format!("held {role} {} {token} {now}", $mode));
                        if Instant::now() >= until {
                            break;
                        }
                        sleep(Duration::from_millis(2)).await;
                    }
                    drop(guard.release().await);
                }
            };
        }
        if round.is_multiple_of(3) {
            turn!("w", write);
        } else {
            turn!("r", read);
        }
        sleep(Duration::from_millis(u64::from(round >> 8) % 15)).await;
    }
    say("done");
    Ok(())
}

struct Worker {
    child: Child,
    reader: Option<JoinHandle<()>>,
}

type Lines = Arc<Mutex<Vec<String>>>;

impl Worker {
    fn start(role: &str, url: &str, seconds: u64, lines: &Lines) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["stress::worker", "--exact", "--nocapture"])
            .env("SHIZUKU_LOCK_WORKER", role)
            .env("SHIZUKU_LOCK_URL", url)
            .env("SHIZUKU_LOCK_SECONDS", seconds.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let out = BufReader::new(child.stdout.take().unwrap());
        let lines = lines.clone();
        let reader = thread::spawn(move || {
            for line in out.lines().map_while(std::result::Result::ok) {
                lines.lock().unwrap().push(line);
            }
        });
        Ok(Self {
            child,
            reader: Some(reader),
        })
    }

    fn signal(&self, signal: &str) {
        // This avoids a dependency for signals.
        let status = Command::new("kill")
            .args([signal, &self.child.id().to_string()])
            .status();
        assert!(status.unwrap().success());
    }

    /// Kills it, and starts a replacement.
    fn replace(&mut self, step: usize, urls: &str, lines: &Lines) -> Result {
        self.kill();
        *self = Self::start(&format!("again{step}"), urls, 8, lines)?;
        Ok(())
    }

    fn kill(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.kill();
    }
}

/// One hold, from the first to the last moment at which its holder believed in it.
#[derive(Debug)]
struct Hold {
    who: String,
    write: bool,
    token: u64,
    from: u128,
    to: u128,
}

fn holds(lines: &[String]) -> Vec<Hold> {
    let mut holds: Vec<Hold> = Vec::new();
    for line in lines {
        let words: Vec<_> = line.split(' ').collect();
        let ["held", who, mode, token, at] = words[..] else {
            continue;
        };
        // The line is incomplete if the worker was killed while writing it.
        let (Ok(token), Ok(at)) = (token.parse(), at.parse()) else {
            continue;
        };
        let known = |hold: &&mut Hold| hold.token == token && hold.who == who;
        match holds.iter_mut().find(known) {
            Some(hold) => hold.to = hold.to.max(at),
            None => holds.push(Hold {
                who: who.to_owned(),
                write: mode == "w",
                token,
                from: at,
                to: at,
            }),
        }
    }
    holds.sort_by_key(|hold| hold.from);
    holds
}

/// Mutual exclusion, and the order of tokens.
fn check(holds: &[Hold]) -> Result<(), String> {
    for (index, one) in holds.iter().enumerate() {
        for other in &holds[index + 1..] {
            if one.write || other.write {
                if one.to >= other.from {
                    return Err(format!("at the same time: {one:?} {other:?}"));
                }
                if one.token >= other.token {
                    return Err(format!("tokens: {one:?} {other:?}"));
                }
            }
        }
    }
    Ok(())
}

/// A check that accepts every history would be worthless.
#[test]
fn the_check_rejects_bad_histories() {
    let verdict = |lines: &[&str]| {
        let lines: Vec<_> = lines.iter().map(ToString::to_string).collect();
        check(&holds(&lines)).map_err(|what| what.split(':').next().unwrap().to_owned())
    };
    let at_once = Err("at the same time".to_owned());
    let tokens = Err("tokens".to_owned());
    for (history, expected) in [
        // Readers share, and writers follow one another.
        (
            &[
                "held a r 1 10",
                "held b r 2 11",
                "held a r 1 12",
                "held a w 3 13",
            ][..],
            Ok(()),
        ),
        // Two readers may learn of their grants in any order.
        (&["held a r 2 10", "held b r 1 11"], Ok(())),
        // The lines of two processes may be interleaved.
        (&["held b w 2 30", "held a w 1 10", "held a w 1 20"], Ok(())),
        // Truncated lines and those that are no holds are ignored.
        (
            &["held a w 1 10", "held a w", "lost a w 1 20", "done"],
            Ok(()),
        ),
        (
            &["held a w 1 10", "held b w 2 11", "held a w 1 12"],
            at_once.clone(),
        ),
        (&["held a w 1 10", "held b w 2 10"], at_once.clone()),
        (
            &["held a r 1 10", "held b w 2 11", "held a r 1 12"],
            at_once.clone(),
        ),
        (
            &["held a w 1 10", "held b r 2 11", "held a w 1 12"],
            at_once.clone(),
        ),
        // The first hold overlaps the third; the second is harmless.
        (
            &[
                "held a r 1 10",
                "held b r 2 11",
                "held c w 3 12",
                "held a r 1 13",
            ],
            at_once,
        ),
        (&["held a w 2 10", "held b w 1 11"], tokens.clone()),
        (&["held a r 2 10", "held b w 1 11"], tokens.clone()),
        (&["held a w 2 10", "held b r 1 11"], tokens.clone()),
        // A token granted twice.
        (&["held a w 1 10", "held b w 1 11"], tokens),
    ] {
        assert_eq!(verdict(history), expected, "{history:?}");
    }
}

async fn bucket(url: &str, replicas: u8) -> Result<shizuku::Store> {
    let client = shizuku::connect(url).await?;
    let mut config = BucketConfig::new("locks");
    config.replicas = replicas;
    Ok(client.create_bucket(config).await?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_holder_blocks_others_at_most_two_seconds_beyond_its_lease() -> Result {
    let server = NatsServer::start_default().await?;
    let store = bucket(&server.url(), 1).await?;
    let lock = DistroRwLock::new(&store, "r")?;
    let lines = Lines::default();
    let mut worker = Worker::start("hold", &server.url(), 0, &lines)?;
    while !lines
        .lock()
        .unwrap()
        .iter()
        .any(|line| line.starts_with("grant"))
    {
        sleep(Duration::from_millis(10)).await;
    }
    // By then the lease has been renewed.
    sleep(LEASE).await;
    assert!(lock.try_write().await?.is_none());
    worker.signal("-KILL");
    let killed = Instant::now();
    let guard = timeout(LEASE * 3, lock.write()).await??;
    let waited = killed.elapsed();
    println!("waited {waited:?} for a killed holder with a lease of {LEASE:?}");
    assert!(waited <= LEASE + Duration::from_secs(2), "{waited:?}");
    worker.kill();
    guard.release().await?;
    Ok(())
}

/// Runs workers for so many seconds while `harm` disturbs them and the service.
async fn run(
    urls: &str,
    seconds: u64,
    mut harm: impl AsyncFnMut(usize, &mut Vec<Worker>, &Lines) -> Result,
) -> Result<Vec<Hold>> {
    let lines = Lines::default();
    let mut workers = Vec::new();
    for number in 0..4 {
        workers.push(Worker::start(&format!("w{number}"), urls, seconds, &lines)?);
    }
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut step = 0;
    // The workers open the bucket before the first fault.
    sleep(Duration::from_secs(2)).await;
    while Instant::now() + Duration::from_secs(6) < end {
        harm(step, &mut workers, &lines).await?;
        step += 1;
    }
    // Every live worker finishes.
    let patience = Instant::now() + Duration::from_secs(60);
    for worker in &mut workers {
        while worker.child.try_wait()?.is_none() {
            assert!(Instant::now() < patience, "a worker hangs");
            sleep(Duration::from_millis(50)).await;
        }
        worker.kill();
    }
    let lines = lines.lock().unwrap();
    let holds = holds(&lines);
    let lost = lines.iter().filter(|line| line.starts_with("lost")).count();
    println!("{} holds, {lost} of them lost", holds.len());
    check(&holds)?;
    Ok(holds)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exclusion_holds_with_paused_and_killed_clients_and_server_restarts() -> Result {
    let server = NatsServer::start_default().await?;
    bucket(&server.url(), 1).await?;
    let url = server.url();
    let holds = run(&url, 30, async |step, workers, lines| {
        let victim = step % workers.len();
        if step % 4 == 3 {
            workers[victim].replace(step, &url, lines)?;
        } else if step % 4 == 1 {
            server.kill()?;
            sleep(Duration::from_millis(500)).await;
            server.restart().await?;
        } else {
            workers[victim].signal("-STOP");
            let pause = [300, 2500, 5000][step % 3];
            sleep(Duration::from_millis(pause)).await;
            workers[victim].signal("-CONT");
        }
        sleep(Duration::from_millis(400)).await;
        Ok(())
    })
    .await?;
    assert!(holds.len() > 50, "hardly anybody got in: {}", holds.len());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exclusion_holds_with_killed_nodes_and_clients_in_a_cluster() -> Result {
    let cluster = Cluster::start(3, LATEST).await?;
    let url = cluster.urls().join(",");
    let store = bucket(&url, 3).await?;
    let holds = run(&url, 40, async |step, workers, lines| {
        let node = match step % 3 {
            // Every third step kills the stream's leader, the others a fixed node.
            0 => cluster.leader_of("KV_locks").await?,
            other => cluster.node(other),
        };
        node.kill()?;
        let victim = step % workers.len();
        workers[victim].signal("-STOP");
        sleep(Duration::from_millis([1000, 4000][step % 2])).await;
        workers[victim].signal("-CONT");
        let killed = (step + 1) % workers.len();
        workers[killed].kill();
        node.restart().await?;
        cluster.healthy().await?;
        workers[killed].replace(step, &url, lines)?;
        sleep(Duration::from_secs(2)).await;
        Ok(())
    })
    .await?;
    assert!(holds.len() > 50, "hardly anybody got in: {}", holds.len());
    // Nothing is left behind. A restarted node can lag for half a minute after it reports itself
    // healthy, and an acquire whose watch is on that node waits as long.
    let lock = DistroRwLock::new(&store, "r")?;
    drop(timeout(Duration::from_secs(60), lock.write()).await??);
    Ok(())
}
