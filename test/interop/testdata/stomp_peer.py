"""A peer that speaks STOMP by stomp.py, with the options of the Python agents.

Does what each line orders, and answers it with a line (python_test.go).
"""

import json
import queue
import sys
import threading

import stomp

LIMIT = 60  # seconds


class Ear(stomp.ConnectionListener):
    def __init__(self):
        self.messages = queue.Queue()
        self.events = []
        self.gone = threading.Event()

    def on_message(self, frame):
        self.messages.put({"headers": dict(frame.headers), "body": frame.body})

    def on_error(self, frame):
        self.messages.put({"error": frame.body, "headers": dict(frame.headers)})

    def on_receipt(self, frame):
        self.events.append("receipt")

    def on_disconnected(self):
        self.events.append("disconnected")
        self.gone.set()


def say(value):
    print(json.dumps(value), flush=True)


def main():
    to = json.loads(sys.argv[1])
    ear = Ear()
    conn = stomp.Connection(
        host_and_ports=[(to["host"], to["port"])],
        vhost=to["host"],
        try_loopback_connect=False,
        heartbeats=(30000, 30000),
        auto_content_length=to.get("content_length", False),
    )
    conn.set_listener("", ear)
    # An agent names its version, which stomp.py makes a header of, and a
    # client-id; a manager and the old MCP server name neither.
    extra = {"version": "1.1", "headers": {"client-id": to["client"]}} if "client" in to else {}
    conn.connect(to["login"], to["passcode"], wait=True, **extra)
    say({"connected": conn.is_connected()})
    for line in sys.stdin:
        order = json.loads(line)
        match order["do"]:
            case "subscribe":
                conn.subscribe(destination=order["destination"], id=order["id"], ack="auto")
                say({})
            case "send":
                conn.send(body=order["body"], destination=order["destination"], headers=order.get("headers", {}))
                say({})
            case "next":
                try:
                    say(ear.messages.get(timeout=order.get("seconds", LIMIT)))
                except queue.Empty:
                    say({})
            case "disconnect":
                conn.disconnect()
                ear.gone.wait(LIMIT)
                say({"events": ear.events})


main()
