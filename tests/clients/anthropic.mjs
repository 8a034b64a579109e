// Usage: anthropic.mjs URL PROMPT KEY [LEAVE], with the number of events after which it leaves.
import Anthropic from '@anthropic-ai/sdk'
import { report } from './report.mjs'

const [url, prompt, apiKey, leave] = process.argv.slice(2)
const client = new Anthropic({ baseURL: url, apiKey, maxRetries: 0 })
let count = 0
try {
  const messages = [{ role: 'user', content: prompt }]
  const stream = client.messages.stream({ model: 'parrot', max_tokens: 100, messages })
  for await (const event of stream) {
    if (event.type === 'content_block_delta') report('text', event.delta.text)
    else report('event', event.type)
    if (++count === Number(leave)) break
  }
  if (!leave) {
    const final = await stream.finalMessage()
    const usage = [final.usage.input_tokens, final.usage.output_tokens]
    report('final', { text: final.content[0].text, stop: final.stop_reason, usage })
  }
  report('end')
} catch (error) {
  report('error', { kind: error.constructor.name, status: error.status ?? null, message: error.message })
}
