// Prints a line of JSON for each thing that a client has reported.
export const report = (kind, value = null) => console.log(JSON.stringify({ [kind]: value }))
