package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/epic-swf/testbed/config"
	"github.com/epic-swf/testbed/swf"
)

func (a *app) tokenCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Manage the tokens of the people who connect to your server",
		Long: `Token manages the bearer tokens that swf-mcp serve, testbed up and testbed monitor accept. They stand in tokens.toml
in the configuration folder, as SHA-256 only; a running server sees a change at once. The roles: a user controls the
own testbed, an operator everybody's, a viewer none.`,
		Args: cobra.ArbitraryArgs, RunE: helpOrUnknown,
	}
	cmd.AddCommand(a.tokenAddCommand(), a.tokenListCommand(), a.tokenRevokeCommand())
	return cmd
}

// tokens are those of the server of this place.
func (p *place) tokens(log *slog.Logger) *config.Tokens {
	return config.OpenTokens(p.paths.Tokens(), log)
}

// serverTokens is tokens for the commands below token.
func (a *app) serverTokens() (*config.Tokens, error) {
	p, err := a.findServer()
	if err != nil {
		return nil, err
	}
	return p.tokens(a.log()), p.paths.Make()
}

func (a *app) tokenAddCommand() *cobra.Command {
	var role, use, expires, note string
	cmd := a.outputFlag(&cobra.Command{
		Use:   "add USERNAME",
		Short: "Make a token for a user and print it, once",
		Args:  usageArgs(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error {
			tokens, err := a.serverTokens()
			if err != nil {
				return err
			}
			entry := config.Token{User: args[0], Role: swf.Role(role), For: config.Use(use), Note: note}
			if expires != "" {
				after, err := days("--expires", expires)
				if err != nil {
					return err
				}
				entry.Expires = time.Now().Add(after).UTC().Truncate(time.Second)
			}
			secret, entry, err := tokens.Add(entry)
			if err != nil {
				return err
			}
			if a.forPeople() { // a pipe gets the token alone
				fmt.Fprintf(a.err, "token %s of %s (%s, for %s). It is shown this once:\n", entry.ID, entry.User, entry.Role, entry.For)
			}
			return a.show(struct {
				config.Token
				Secret string `json:"token"`
			}{entry, secret.Reveal()}, secret.Reveal()+"\n")
		},
	})
	cmd.Flags().StringVar(&role, "role", string(swf.RoleUser), "user, operator or viewer")
	cmd.Flags().StringVar(&use, "for", string(config.ForMCP), "mcp, for assistants, or monitor, for agents that report")
	cmd.Flags().StringVar(&expires, "expires", "", "when it ends, for example 90d; default: never")
	cmd.Flags().StringVar(&note, "note", "", "what it is for, to know it again in the list")
	return cmd
}

func (a *app) tokenListCommand() *cobra.Command {
	return a.outputFlag(&cobra.Command{
		Use:   "list",
		Short: "Show whose tokens there are; the tokens themselves are not kept",
		Args:  usageArgs(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			tokens, err := a.serverTokens()
			if err != nil {
				return err
			}
			list, err := tokens.List()
			if err != nil {
				return err
			}
			if list == nil {
				list = []config.Token{}
			}
			return a.show(list, tokenTable(list))
		},
	})
}

func tokenTable(list []config.Token) string {
	if len(list) == 0 {
		return "no tokens; make one with: testbed token add USERNAME\n"
	}
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tUSER\tROLE\tFOR\tCREATED\tEXPIRES\tNOTE")
	for _, t := range list {
		expires := "never"
		switch {
		case t.Expired(time.Now()):
			expires = "expired"
		case !t.Expires.IsZero():
			expires = t.Expires.Format(time.DateOnly)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", t.ID, t.User, t.Role, t.For, t.Created.Format(time.DateOnly), expires, plain(t.Note))
	}
	w.Flush()
	return b.String()
}

// plain leaves out what a terminal would obey.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return -1
		}
		return r
	}, s)
}

func (a *app) tokenRevokeCommand() *cobra.Command {
	var user string
	cmd := &cobra.Command{
		Use:   "revoke [ID…]",
		Short: "End tokens at once, by their ids, or all of a user's",
		RunE: func(_ *cobra.Command, args []string) error {
			if (len(args) == 0) == (user == "") {
				return usageError{swf.E(swf.CodeInvalidArgument, "name the ids of tokens, or --user", "testbed token list shows both")}
			}
			tokens, err := a.serverTokens()
			if err != nil {
				return err
			}
			wanted := map[string]bool{}
			for _, id := range args {
				wanted[id] = true
			}
			gone, err := tokens.Revoke(func(t config.Token) bool { return wanted[t.ID] || user != "" && t.User == user })
			if err != nil {
				return err
			}
			for _, t := range gone {
				delete(wanted, t.ID)
				fmt.Fprintf(a.out, "revoked %s of %s (%s, for %s)\n", t.ID, t.User, t.Role, t.For)
			}
			if len(wanted) > 0 || len(gone) == 0 {
				return swf.E(swf.CodeInvalidArgument, "there is no such token", "testbed token list shows what there is; all others named were revoked")
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&user, "user", "", "all tokens of this user")
	return cmd
}

// ownToken is the token of this user's own clients, in a file of the
// configuration folder. It is one of the tokens like any other; where it was
// never made, or was revoked, it is made anew.
func (p *place) ownToken(tokens *config.Tokens) (swf.Secret, error) {
	path := filepath.Join(p.paths.Config, "mcp.token")
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	token := strings.TrimSpace(string(text))
	if who, ok := tokens.Lookup(config.ForMCP)(token); ok && who.Name == p.username {
		return swf.Secret(token), nil
	}
	secret, _, err := tokens.Add(config.Token{User: p.username, Role: swf.RoleUser, For: config.ForMCP, Note: "made at the first start, in " + filepath.Base(path)})
	if err != nil {
		return "", err
	}
	return secret, os.WriteFile(path, []byte(secret.Reveal()+"\n"), 0o600)
}
