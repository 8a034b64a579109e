// Usage: eventsource.mjs URL. It ends when the client has given up.
import { EventSource } from 'eventsource'
import { report } from './report.mjs'

const source = new EventSource(process.argv[2])
source.onopen = () => report('open')
source.onmessage = event => report('message', { id: event.lastEventId, data: event.data })
for (const type of ['end', 'gap']) {
  source.addEventListener(type, event => report(type, event.data))
}
source.onerror = error => {
  report('error', { code: error.code ?? null, closed: source.readyState === EventSource.CLOSED })
}
