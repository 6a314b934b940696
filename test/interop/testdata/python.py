"""Drives the official Python SDK, as sdk_test.go says."""

import json
import sys

import anyio
import httpx2
from mcp import Client, StdioServerParameters
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client
from mcp.types import ElicitResult

to = json.loads(sys.argv[1])


def say(value):
    print(json.dumps(value), flush=True)


asked = []


async def person(_, params):
    asked.append(params.message)
    return ElicitResult(action=to["person"], content={} if to["person"] == "accept" else None)


async def main():
    headers = {"Authorization": f"Bearer {to.get('token')}"}
    async with httpx2.AsyncClient(headers=headers, timeout=60) as http:
        match to["transport"]:
            case "stdio":
                server = StdioServerParameters(command=to["command"], args=to["args"], env=to["env"])
            case "http":
                server = streamable_http_client(to["url"], http_client=http)
            case "sse":
                server = sse_client(to["url"], headers=headers)
        async with Client(server, mode=to["era"], elicitation_callback=person if "person" in to else None) as client:
            await drive(client)


async def drive(client):
    tools = await client.list_tools()
    say({
        "server": client.server_info.name,
        "instructions": client.instructions,
        "protocol": client.protocol_version,
        "tools": [tool.name for tool in tools.tools],
    })
    async for line in anyio.wrap_file(sys.stdin):
        order = json.loads(line)
        seen = []

        async def progress(done, total, message):
            seen.append((done, message))

        callback = None if order.get("quiet") else progress  # without progress servers wait less long
        result = await client.call_tool(order["tool"], order["arguments"], progress_callback=callback)
        say({
            "structured": result.structured_content,
            "text": "".join(c.text for c in result.content),
            "isError": bool(result.is_error),
            "progress": [done for done, _ in seen],
            "messages": [message for _, message in seen],
            "asked": asked,
        })


anyio.run(main)
