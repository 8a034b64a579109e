// Usage: graphql_sse.mjs URL TOPIC [LEAVE], with the number of results after which it unsubscribes.
import { createClient } from 'graphql-sse'
import { report } from './report.mjs'

const [url, topic, leave] = process.argv.slice(2)
const client = createClient({
  url: `${url}/graphql`,
  retryAttempts: 3,
  retry: async retries => report('retry', retries),
  onMessage: message => report('event', message.event),
  on: { connected: reconnected => report('connected', reconnected) },
})
const query = topic ? 'subscription ($topic: String!) { messages(topic: $topic) }' : 'subscription { other }'
let count = 0
try {
  for await (const result of client.iterate({ query, variables: { topic } })) {
    report('result', result)
    if (++count === Number(leave)) break
  }
  report('end')
} catch (error) {
  const body = await error.response?.text().catch(() => null)
  report('error', { status: error.response?.status ?? null, message: error.message, body: body ?? null })
}
