// The library, as one file.
export * from '../node_modules/@starfederation/datastar/dist/bundles/datastar.js'
