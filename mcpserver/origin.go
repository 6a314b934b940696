package mcpserver

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"

	"github.com/mark3labs/mcp-go/server"

	"github.com/epic-swf/testbed/tools"
)

// fromHTTP returns the request with where it comes from in its context.
func fromHTTP(r *http.Request, transport, session string) *http.Request {
	return r.WithContext(tools.WithOrigin(r.Context(), tools.Origin{Transport: transport, Address: r.RemoteAddr, Session: digest(session)}))
}

// digest stands for a session's id: it names the session to who knows the id,
// and gives nobody the id.
func digest(session string) string {
	if session == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(session))
	return hex.EncodeToString(sum[:6])
}

// withClient completes the origin with what the client says of itself.
func withClient(ctx context.Context) context.Context {
	o := tools.OriginFrom(ctx)
	o.Protocol = short(server.RequestProtocolVersion(ctx))
	if info := server.RequestProtocolInfoFromContext(ctx); info != nil && info.ClientInfo != nil {
		o.Client = short(info.ClientInfo.Name + " " + info.ClientInfo.Version)
	} else if s, ok := server.ClientSessionFromContext(ctx).(server.SessionWithClientInfo); ok {
		c := s.GetClientInfo()
		o.Client = short(c.Name + " " + c.Version)
	}
	return tools.WithOrigin(ctx, o)
}
