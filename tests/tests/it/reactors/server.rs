//! A server that notes what it is asked, and answers well or as badly as it is told.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Request {
    /// The first line.
    pub line: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Request {
    pub fn header(&self, name: &str) -> &str {
        let mut of = self.headers.iter().filter(|(is, _)| is.eq_ignore_ascii_case(name));
        let value = of.next().map_or("", |(_, value)| value);
        assert!(of.next().is_none(), "{name} comes twice: {self:?}");
        value
    }

    pub fn key(&self) -> String {
        self.header("idempotency-key").to_owned()
    }
}

/// What a request gets.
#[derive(Debug, Clone)]
pub enum Reply {
    /// An answer without a body.
    Status(u16),
    /// These bytes, whatever they are.
    Raw(String),
    /// The first text once, and the second one for ever, after a pause each time.
    Endless(String, String, Duration),
    /// The status 200, after this time.
    Late(Duration),
    /// Nothing, until the other side goes away.
    Silence,
}

type Replies = Arc<Mutex<VecDeque<Reply>>>;

pub struct Server {
    pub port: u16,
    requests: Arc<Mutex<Vec<Request>>>,
    replies: Replies,
    task: JoinHandle<()>,
}

impl Server {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (requests, replies) = (Arc::default(), Replies::default());
        let (noted, told) = (Arc::clone(&requests), replies.clone());
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (noted, told) = (Arc::clone(&noted), told.clone());
                tokio::spawn(async move { serve(stream, &noted, &told).await });
            }
        });
        Self { port, requests, replies, task }
    }

    /// The next request without a reply gets this one. Without any it is answered with the status 200.
    pub fn reply(&self, reply: Reply) {
        self.replies.lock().unwrap().push_back(reply);
    }

    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    pub fn keys(&self) -> Vec<String> {
        self.requests().iter().map(Request::key).collect()
    }

    /// An address of it.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// What an operator grants for it.
    pub fn grant(&self) -> String {
        format!("http:127.0.0.1:{}", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(stream: TcpStream, noted: &Mutex<Vec<Request>>, told: &Mutex<VecDeque<Reply>>) {
    let mut stream = BufReader::new(stream);
    while let Some(request) = read(&mut stream).await {
        noted.lock().unwrap().push(request);
        let reply = told.lock().unwrap().pop_front().unwrap_or(Reply::Status(200));
        // Whoever has gone away gets nothing.
        if answer(&mut stream, reply).await.is_err() {
            return;
        }
    }
}

async fn read(stream: &mut BufReader<TcpStream>) -> Option<Request> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let line = lines.remove(0);
    let headers: Vec<(String, String)> = lines
        .iter()
        .map(|line| line.split_once(": ").unwrap())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let request = Request { line, headers, body: String::new() };
    let mut body = vec![0; request.header("content-length").parse().unwrap_or(0)];
    stream.read_exact(&mut body).await.ok()?;
    Some(Request { body: String::from_utf8(body).unwrap(), ..request })
}

async fn answer(stream: &mut BufReader<TcpStream>, reply: Reply) -> std::io::Result<()> {
    match reply {
        Reply::Status(status) => {
            let head = format!("HTTP/1.1 {status} So\r\ncontent-length: 0\r\n\r\n");
            stream.write_all(head.as_bytes()).await
        }
        Reply::Raw(text) => stream.write_all(text.as_bytes()).await,
        Reply::Endless(first, again, pause) => {
            stream.write_all(first.as_bytes()).await?;
            loop {
                stream.write_all(again.as_bytes()).await?;
                tokio::time::sleep(pause).await;
            }
        }
        Reply::Late(pause) => {
            tokio::time::sleep(pause).await;
            stream.write_all(b"HTTP/1.1 200 So\r\ncontent-length: 0\r\n\r\n").await
        }
        Reply::Silence => stream.read_to_end(&mut Vec::new()).await.map(drop),
    }
}
