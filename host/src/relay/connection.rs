//! One connection to a server, which carries one batch at a time and is never resumed once it was lost.

use std::error::Error as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_nats::connection::State;
use async_nats::jetstream::context::{GetStreamErrorKind, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::{self, ErrorCode, stream};
use async_nats::{Auth, AuthError, Client, ConnectErrorKind, ConnectOptions, Event, ServerAddr};
use percent_encoding::percent_decode_str;

use super::config::NatsConfig;
use super::credentials;
use super::nats::Message;

/// A connection to a server with the stream.
pub(super) struct Connection {
    client: Client,
    context: jetstream::Context,
    /// Bytes of a message that the stream takes, where it has a limit of its own.
    stream_limit: Option<usize>,
    stream: String,
    /// What the server complained of last.
    said: Arc<Mutex<Option<String>>>,
}

/// Whether what lies behind an error is that the two sides do not agree on TLS. The client calls it a failure to
/// read or write.
fn is_tls(error: &(dyn std::error::Error + 'static)) -> bool {
    anyhow::Chain::new(error).any(|cause| {
        let io = cause.downcast_ref::<std::io::Error>().and_then(|error| error.get_ref());
        cause.is::<rustls::Error>() || io.is_some_and(|inner| inner.is::<rustls::Error>())
    })
}

/// Why a batch is not in the stream, or not known to be.
pub(super) enum Refused {
    /// The stream never takes this one of its messages.
    Message(usize, String),
    /// It may take all of them later.
    All(String),
}

impl Connection {
    /// Connects, and finds the stream, or makes it.
    pub(super) async fn open(config: &NatsConfig) -> Result<Self, String> {
        let servers: Result<Vec<ServerAddr>, _> =
            config.url.expose().iter().map(|server| server.parse()).collect();
        let servers = servers.map_err(|_| "its address cannot be read".to_owned())?;
        let said = Arc::new(Mutex::new(None));
        let opened = Arc::new(AtomicBool::new(false));
        let (hears, resumes) = (said.clone(), opened.clone());
        let (login, given) = (config.clone(), servers.clone());
        let mut options = ConnectOptions::with_auth_callback(move |nonce| {
            // The client would connect again by itself, and send what comes after messages that were lost. It
            // gives up where it can't log in.
            let login = match resumes.load(Ordering::SeqCst) {
                true => Err(AuthError::new("a connection that was lost is not resumed")),
                false => auth(&login, &given, &nonce).map_err(AuthError::new),
            };
            async move { login }
        })
        .name("eventfabric relay")
        .max_reconnects(servers.len())
        .ignore_discovered_servers()
        .connection_timeout(config.timeout / config.url.expose().len().max(1) as u32)
        .event_callback(move |event| {
            if let Event::ServerError(error) = event {
                *hears.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
            }
            std::future::ready(())
        });
        if let Some(ca) = &config.ca {
            options = options.add_root_certificates(ca.clone());
        }
        if let (Some(certificate), Some(key)) = (&config.certificate, &config.key) {
            options = options.add_client_certificate(certificate.clone(), key.clone());
        }
        let client = options.connect(servers).await.map_err(|error| {
            let why = error.source().map_or_else(|| error.to_string(), ToString::to_string);
            match error.kind() {
                ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => format!(
                    "it refuses the credentials ({why}): look at user and password in `url`, at `token` and at \
                     `credentials`"
                ),
                kind if kind == ConnectErrorKind::Tls || is_tls(&error) => {
                    format!("TLS fails: {why}; look at `ca`, `certificate` and `key`")
                }
                _ => format!("it cannot be reached: {why}"),
            }
        })?;
        opened.store(true, Ordering::SeqCst);
        let mut context = jetstream::new(client.clone());
        // Who waits says more of what is missing.
        context.set_timeout(config.timeout * 2);
        let stream = find(&context, config).await?;
        let stream_limit = usize::try_from(stream.max_message_size).ok().filter(|limit| *limit > 0);
        Ok(Self { client, context, stream_limit, stream: config.stream.clone(), said })
    }

    /// Whether it was not lost meanwhile.
    pub(super) fn is_open(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// What the server complained of last.
    pub(super) fn said(&self) -> Option<String> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Bytes of a message that are allowed, and by what.
    pub(super) fn limit(&self) -> (usize, &'static str) {
        let server = self.client.server_info().max_payload;
        match self.stream_limit {
            Some(stream) if stream < server => (stream, "the stream (max_msg_size)"),
            _ => (server, "the server (max_payload)"),
        }
    }

    /// Sends messages in their order, and waits until all of them are stored.
    pub(super) async fn publish(&self, messages: Vec<Message>) -> Result<(), Refused> {
        let mut stored = Vec::with_capacity(messages.len());
        for Message { subject, headers, body } in messages {
            let message = PublishMessage::build().headers(headers).payload(body.into());
            let sent = self.context.send_publish(subject, message).await;
            stored.push(sent.map_err(|error| self.refused(stored.len(), &error))?);
        }
        for (index, stored) in stored.into_iter().enumerate() {
            stored.await.map_err(|error| self.refused(index, &error))?;
        }
        Ok(())
    }

    fn refused(&self, index: usize, error: &jetstream::context::PublishError) -> Refused {
        let stream = &self.stream;
        let answer = error.source().and_then(|source| source.downcast_ref::<jetstream::Error>());
        let code = answer.map(jetstream::Error::error_code);
        Refused::All(match (error.kind(), code) {
            (PublishErrorKind::MaxPayloadExceeded, _)
            | (_, Some(ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM)) => {
                return Refused::Message(index, format!("the stream {stream} refuses it: {error}"));
            }
            (PublishErrorKind::StreamNotFound, _) => format!(
                "no stream takes the subjects: is {stream} still there, and does it have all of them \
                 (`nats stream info {stream}`)?"
            ),
            (_, Some(ErrorCode::STREAM_NOT_MATCH)) => {
                format!("the subjects belong to another stream than {stream}")
            }
            (PublishErrorKind::BrokenPipe, _) => "the connection was lost".to_owned(),
            _ => match answer {
                Some(answer) => format!("the stream {stream} refuses the events: {answer}"),
                None => error.to_string(),
            },
        })
    }
}

/// How to log in.
fn auth(config: &NatsConfig, servers: &[ServerAddr], nonce: &[u8]) -> Result<Auth, String> {
    let mut auth = Auth::new();
    let with_user = servers.iter().find(|server| server.username().is_some());
    if let Some(server) = with_user {
        let plain = |text| percent_decode_str(text).decode_utf8_lossy().into_owned();
        auth.username = server.username().map(plain);
        auth.password = server.password().map(plain);
    }
    auth.token = config.token.as_ref().map(|token| token.expose().to_owned());
    if let Some(file) = &config.credentials {
        let (jwt, signature) = sign(file, nonce)?;
        (auth.jwt, auth.signature) = (Some(jwt), Some(signature));
    }
    Ok(auth)
}

/// Reads a file of credentials, and signs what the server asks to be signed.
fn sign(file: &Path, nonce: &[u8]) -> Result<(String, Vec<u8>), String> {
    let shown = file.display();
    let text = std::fs::read_to_string(file).map_err(|error| format!("{shown}: {error}"))?;
    let credentials = credentials::parse(&text).ok_or_else(|| {
        format!("{shown}: it is no file of credentials, with a user's JWT and NKEY seed")
    })?;
    let signature = credentials.sign(nonce).map_err(|why| format!("{shown}: {why}"))?;
    Ok((credentials.jwt, signature))
}

/// The stream, which is made where that is asked for.
async fn find(context: &jetstream::Context, config: &NatsConfig) -> Result<stream::Config, String> {
    let (name, pattern) = (&config.stream, config.subject.pattern());
    let error = match context.get_stream(name).await {
        Ok(stream) => return Ok(stream.cached_info().config.clone()),
        Err(error) => error,
    };
    let missing = matches!(
        error.kind(),
        GetStreamErrorKind::JetStream(answer) if answer.error_code() == ErrorCode::STREAM_NOT_FOUND
    );
    if !missing {
        return Err(format!("the stream {name} cannot be looked at: {error}"));
    }
    if !config.create {
        return Err(format!(
            "there is no stream {name}: `nats stream add {name} --subjects '{pattern}' --dupe-window 10m \
             --defaults` makes it, or the setting `create = true`"
        ));
    }
    let made = context.create_stream(stream::Config {
        name: name.clone(),
        subjects: vec![pattern],
        num_replicas: config.replicas,
        duplicate_window: config.duplicate_window,
        ..stream::Config::default()
    });
    let made = made.await.map_err(|error| format!("the stream {name} cannot be made: {error}"))?;
    tracing::info!(stream = name, subjects = ?made.cached_info().config.subjects, "the stream was made");
    Ok(made.cached_info().config.clone())
}
