// Usage: mcp.mjs TRANSPORT URL TEXT [LEAVE], with `sse` or `http`, and the
// number of words after which it cancels.
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { SSEClientTransport } from '@modelcontextprotocol/sdk/client/sse.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import { report } from './report.mjs'

const [kind, url, text, leave] = process.argv.slice(2)
// Resolves once the server has taken the cancellation.
let cancelled
const isCancelled = new Promise(resolve => { cancelled = resolve })
const options = {
  async fetch(url, init) {
    const response = await fetch(url, init)
    if (String(init?.body).includes('notifications/cancelled')) cancelled()
    return response
  },
}
const transport = kind === 'sse'
  ? new SSEClientTransport(new URL(`${url}/sse`), options)
  : new StreamableHTTPClientTransport(new URL(`${url}/mcp`), options)
const client = new Client({ name: 'test', version: '1' })
client.onerror = error => report('warning', error.message)
const cancel = new AbortController()
try {
  await client.connect(transport)
  report('server', client.getServerVersion().name)
  report('tools', (await client.listTools()).tools.map(tool => tool.name))
  const onprogress = ({ progress, message }) => {
    report('text', message)
    if (progress === Number(leave)) cancel.abort()
  }
  const call = { name: 'ask', arguments: { text } }
  const result = await client.callTool(call, undefined, { onprogress, signal: cancel.signal, timeout: 60_000 })
  report('result', { text: result.content[0].text, isError: result.isError })
  await transport.terminateSession?.()
} catch (error) {
  report('error', { code: error.code ?? null, message: error.message })
  if (leave) await isCancelled
}
client.onerror = undefined
await client.close()
report('end')
