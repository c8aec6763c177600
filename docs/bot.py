"""A bot that answers `!time` in a room. It needs Python 3.11 and nothing else.

    CHAT_TOKEN=bot_… python3 bot.py https://chat.example.org kitchen

Its token is made by `server bot add NAME --room kitchen`. The bot answers what was written after it was
started, and nothing twice: the key of an answer is made of the number of the question."""

import json, os, sys, time
from datetime import datetime, timezone
from urllib.error import URLError
from urllib.parse import quote
from urllib.request import Request, urlopen

url, room = sys.argv[1].rstrip("/"), sys.argv[2]
messages = f"{url}/api/rooms/{quote(room, safe='')}/messages"


def call(address, body=None, **headers):
    headers |= {"Authorization": f"Bearer {os.environ['CHAT_TOKEN']}", "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    with urlopen(Request(address, data, headers), timeout=30) as answer:
        return json.load(answer)


seq = None
while True:
    try:
        page = call(f"{messages}?limit=1" if seq is None else f"{messages}?after={seq}&limit=100")
        if seq is None:
            print(f"listening after message {page['last']}", flush=True)
        for message in page["messages"] if seq is not None else []:
            if message["text"] == "!time":
                text = datetime.now(timezone.utc).strftime("It is %H:%M UTC.")
                key = {"Idempotency-Key": f"time-{message['seq']}"}
                call(messages, {"text": text, "reply_to": message["seq"]}, **key)
        seq = page.get("next", page["last"])
    except (URLError, TimeoutError, ConnectionError) as error:
        print(f"will try again: {error}", file=sys.stderr, flush=True)
    time.sleep(1)
