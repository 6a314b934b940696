"""A manager as one would write it on stomp.py: it takes commands from a control
queue and answers ping. Arguments: host, port, queue."""

import json
import sys
import threading

import stomp

host, port, queue = sys.argv[1], int(sys.argv[2]), sys.argv[3]
connection = stomp.Connection([(host, port)], heartbeats=(10000, 10000))


class Listener(stomp.ConnectionListener):
    def on_message(self, frame):
        command = json.loads(frame.body)
        reply = {"command_id": command["command_id"], "kind": "outcome", "outcome": "succeeded"}
        connection.send(command["reply_to"], json.dumps(reply), headers={"correlation-id": frame.headers["correlation-id"]})


connection.set_listener("", Listener())
connection.connect("admin", "admin", wait=True)
connection.subscribe(queue, id="1", ack="auto")
threading.Event().wait()
