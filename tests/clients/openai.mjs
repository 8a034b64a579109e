// Usage: openai.mjs URL PROMPT KEY [LEAVE], with the number of chunks after which it leaves.
import OpenAI from 'openai'
import { report } from './report.mjs'

const [url, prompt, apiKey, leave] = process.argv.slice(2)
const client = new OpenAI({ baseURL: `${url}/v1`, apiKey, maxRetries: 0 })
let count = 0
try {
  const messages = [{ role: 'user', content: prompt }]
  const stream = await client.chat.completions.create({ model: 'parrot', messages, stream: true })
  for await (const chunk of stream) {
    const [{ delta, finish_reason }] = chunk.choices
    if (delta.content) report('text', delta.content)
    if (finish_reason) report('finish', finish_reason)
    if (++count === Number(leave)) break
  }
  report('end')
} catch (error) {
  report('error', { kind: error.constructor.name, status: error.status ?? null, message: error.message })
}
