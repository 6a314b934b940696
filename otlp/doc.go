// Package otlp sends the spans of the OpenTelemetry SDK to a collector, as
// OTLP/HTTP in protobuf. The official exporter brings gRPC, the whole of
// protobuf and, by them, templates that keep every method of a program alive:
// it doubled our daemons. The messages are few and fixed, so they are written
// here by hand, and the official types read them in the tests.
//
// It knows nothing of testbeds. Start reading at exporter.go.
package otlp
