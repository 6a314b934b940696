// Package oauth tries our MCP server as a protected resource against a real
// authorization server: a client that knows nothing but the server's URL finds
// out where to get a token, gets one by the authorization code grant with PKCE,
// and uses it, until it expires or the keys are withdrawn. Tests only.
//
// Start reading at flow_test.go; provider_test.go is the authorization server.
package oauth
