/**
 * What a page with the peer downloads, to measure its size: connecting and KV.
 *
 * @module
 */
export { Kvm } from "@nats-io/kv";
export { wsconnect } from "@nats-io/nats-core";
