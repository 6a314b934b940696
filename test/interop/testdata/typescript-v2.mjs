// Drives the official TypeScript client, version 2, as sdk_test.go says.
import { createInterface } from 'node:readline'
import { Client, SSEClientTransport, StreamableHTTPClientTransport } from '@modelcontextprotocol/client'
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio'

const to = JSON.parse(process.argv[2])
const options = { requestInit: { headers: { Authorization: `Bearer ${to.token}` } } }
const transport = {
  stdio: () => new StdioClientTransport({ command: to.command, args: to.args, env: to.env, stderr: 'inherit' }),
  http: () => new StreamableHTTPClientTransport(new URL(to.url), options),
  sse: () => new SSEClientTransport(new URL(to.url), options),
}[to.transport]()

const say = value => process.stdout.write(JSON.stringify(value) + '\n')
const client = new Client(
  { name: 'interop', version: '1' },
  { versionNegotiation: { mode: to.era }, capabilities: to.person ? { elicitation: { form: {} } } : {} },
)
const asked = []
if (to.person) {
  client.setRequestHandler('elicitation/create', async request => {
    asked.push(request.params.message)
    return to.person === 'accept' ? { action: 'accept', content: {} } : { action: to.person }
  })
}
await client.connect(transport)
const { tools } = await client.listTools()
say({
  server: client.getServerVersion().name,
  instructions: client.getInstructions(),
  protocol: client.getNegotiatedProtocolVersion(),
  tools: tools.map(tool => tool.name),
})
for await (const line of createInterface({ input: process.stdin })) {
  const { tool, arguments: given } = JSON.parse(line)
  const seen = []
  const result = await client.callTool({ name: tool, arguments: given }, { onprogress: p => seen.push(p) })
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
