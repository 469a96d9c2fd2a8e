//! One client, from its connection to its end.

use std::io::BufReader;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde_json::{Value, json};

use super::commands::{self, Done};
use super::messages::{LONGEST, Message, next_message};
use super::outbox::Outbox;
use super::qmp::{self, Fault, Request};
use super::server::Monitor;

/// How long a client has to read the answer to its `quit`.
const FAREWELL: Duration = Duration::from_millis(500);

/// Serves the client at the other end of `stream` until it goes.
pub(super) fn serve(stream: UnixStream, outbox: &Outbox, monitor: &Monitor) {
    let mut from = BufReader::new(stream);
    outbox.send(qmp::greeting());
    let mut is_ready = false;
    // A connection that fails is one that ends.
    while let Ok(Some(message)) = next_message(&mut from) {
        let request = match message {
            Message::Text(text) => Request::read(&text),
            Message::TooLong => {
                let text = format!("a message is longer than {LONGEST} bytes, and is left out");
                Err((Fault::Generic(text), None))
            }
        };
        let (result, id) = match request {
            Err((fault, id)) => (Err(fault), id),
            Ok(request) => {
                let id = request.id.clone();
                let result = if is_ready {
                    commands::execute(&*monitor.subject(), request)
                } else {
                    negotiate(request).map(Done::Value)
                };
                (result, id)
            }
        };
        let succeeded = result.is_ok();
        let (answer, is_last) = match result {
            Ok(Done::Value(value)) => (Ok(value), false),
            Ok(Done::Quit(value)) => (Ok(value), true),
            Err(fault) => (Err(fault), false),
        };
        if !outbox.send(qmp::reply(answer, id)) {
            return;
        }
        if is_last {
            // The answer must be out before the session ends, and with it this process.
            outbox.settle(FAREWELL);
            monitor.events.shut_down(false, "host-qmp-quit");
            return monitor.subject().quit();
        }
        if succeeded && !is_ready {
            is_ready = true;
            // Not before its answer.
            monitor.events.add(outbox.clone());
        }
    }
}

/// Before anything else a client says which capabilities it wants; there are none.
fn negotiate(mut request: Request) -> Result<Value, Fault> {
    if request.name != commands::NEGOTIATE {
        let text = format!("the first command must be '{}'", commands::NEGOTIATE);
        return Err(Fault::CommandNotFound(text));
    }
    match request.arguments.any("enable") {
        None => {}
        Some(Value::Array(wanted)) if wanted.is_empty() => {}
        Some(wanted) => return Err(Fault::Generic(format!("there are no capabilities {wanted}"))),
    }
    request.arguments.end()?;
    Ok(json!({}))
}
