// Drives the official TypeScript SDK, version 1, as sdk_test.go says.
import { createInterface } from 'node:readline'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { SSEClientTransport } from '@modelcontextprotocol/sdk/client/sse.js'
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import { CallToolResultSchema, ElicitRequestSchema } from '@modelcontextprotocol/sdk/types.js'

const to = JSON.parse(process.argv[2])
const options = { requestInit: { headers: { Authorization: `Bearer ${to.token}` } } }
const transport = {
  stdio: () => new StdioClientTransport({ command: to.command, args: to.args, env: to.env, stderr: 'inherit' }),
  http: () => new StreamableHTTPClientTransport(new URL(to.url), options),
  sse: () => new SSEClientTransport(new URL(to.url), options),
}[to.transport]()

// The protocol version is told to the transport alone.
let protocol
const tell = transport.setProtocolVersion?.bind(transport)
transport.setProtocolVersion = version => {
  protocol = version
  tell?.(version)
}

const say = value => process.stdout.write(JSON.stringify(value) + '\n')
const client = new Client({ name: 'interop', version: '1' }, { capabilities: to.person ? { elicitation: {} } : {} })
const asked = []
if (to.person) {
  client.setRequestHandler(ElicitRequestSchema, async request => {
    asked.push(request.params.message)
    return to.person === 'accept' ? { action: 'accept', content: {} } : { action: to.person }
  })
}
await client.connect(transport)
const { tools } = await client.listTools()
say({
  server: client.getServerVersion().name,
  instructions: client.getInstructions(),
  protocol,
  tools: tools.map(tool => tool.name),
})
for await (const line of createInterface({ input: process.stdin })) {
  const { tool, arguments: given } = JSON.parse(line)
  const seen = []
  const result = await client.callTool({ name: tool, arguments: given }, CallToolResultSchema, {
    onprogress: p => seen.push(p),
  })
  say({
    structured: result.structuredContent,
    text: result.content.map(c => c.text).join(''),
    isError: result.isError ?? false,
    progress: seen.map(p => p.progress),
    messages: seen.map(p => p.message),
    asked: asked.splice(0),
  })
}
await client.close()
