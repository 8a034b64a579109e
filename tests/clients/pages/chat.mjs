// The AI SDK's chat hook, which resumes after a reload. The page's storage stands for the database of the messages.
import { useChat } from '@ai-sdk/react'
import { createElement, useEffect } from 'react'
import { createRoot } from 'react-dom/client'

const id = new URLSearchParams(location.search).get('id')
const stored = JSON.parse(sessionStorage.getItem(id) ?? '[]')
window.statuses = []

function Chat() {
  const chat = useChat({ id, messages: stored, resume: stored.length > 0 })
  useEffect(() => { window.statuses.push(chat.status) }, [chat.status])
  window.chat = {
    status: chat.status,
    error: chat.error?.message ?? null,
    texts: chat.messages.map(message => message.role + ': ' + message.parts.map(part => part.text ?? '').join('')),
    stop: () => chat.stop(),
    send(text) {
      const message = { id: 'question', role: 'user', parts: [{ type: 'text', text }] }
      sessionStorage.setItem(id, JSON.stringify([...chat.messages, message]))
      chat.sendMessage(message)
    },
  }
  return createElement('p', null, chat.status)
}

createRoot(document.getElementById('root')).render(createElement(Chat))
