"""The same no-op tool, on the official Python SDK."""

from mcp.server import MCPServer

server = MCPServer("noop")


@server.tool()
def noop() -> dict[str, int]:
    return {"n": 1}


server.run("stdio")
