// Reads topics with fetch-event-source. `seen` has what the client has reported; `leave` closes the connection.
import { fetchEventSource } from '@microsoft/fetch-event-source'

const { topic, key } = Object.fromEntries(new URLSearchParams(location.search))
const leave = new AbortController()
const seen = []
Object.assign(window, { seen, leave: () => leave.abort() })
let ended = false

class Fatal extends Error {}

fetchEventSource('/events', {
  method: 'POST',
  headers: { 'content-type': 'application/json', authorization: `Bearer ${key}` },
  body: JSON.stringify({ topics: [topic] }),
  signal: leave.signal,
  openWhenHidden: true,
  async onopen(response) {
    seen.push(['open', response.status])
    if (!response.ok) throw new Fatal(`status ${response.status}`)
  },
  onmessage(message) {
    seen.push(['message', message.event, message.data, message.id !== ''])
    if (message.event === 'end') ended = true
  },
  onclose() {
    seen.push(['close'])
    if (!ended) throw new Error('the end is missing')
  },
  onerror(error) {
    seen.push(['error', error instanceof Fatal])
    if (error instanceof Fatal) throw error
  },
}).then(() => seen.push(['done']), error => seen.push(['failed', error.message]))
