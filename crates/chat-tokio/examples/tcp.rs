//! A chat over TCP, protocol v2 in lines: `cargo run -p lanechat-tokio --example tcp`

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use chat_core::{Seed, Username};
use chat_store::MemoryStore;
use chat_tokio::{Driver, DriverOptions, Opening};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:7000").await?;
    let seed = Seed(RandomState::new().hash_one(0), RandomState::new().hash_one(1));
    let chat = Driver::start(DriverOptions::default(), Arc::new(MemoryStore::default()), seed);
    loop {
        let (socket, _) = listener.accept().await?;
        tokio::spawn(serve(chat.clone(), socket));
    }
}

/// The first line of a client is its name: a real program would check who it is.
pub(crate) async fn serve(chat: Driver, mut socket: TcpStream) -> std::io::Result<()> {
    let (read, write) = socket.split();
    let (mut lines, mut name) = (BufReader::new(read), String::new());
    (&mut lines).take(100).read_line(&mut name).await?;
    let user = Username::parse(name.trim()).map_err(std::io::Error::other)?;
    let client = chat.open(Opening::v2(user)).await.map_err(std::io::Error::other)?;
    client.serve_lines(lines, write).await
}
