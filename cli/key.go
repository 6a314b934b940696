package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/epic-swf/testbed/config"
	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/swf"
)

func (a *app) keyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "key",
		Short: "Your control keys: list, rotate, hand to an MCP server",
		Long: `Commands and their answers are signed with a control key that the user's agent manager and the MCP server share.
A new key goes to the manager first, which takes the old one for a while longer:

  testbed key rotate                                    on the user's host
  testbed key export | ssh SERVER testbed key enroll USER

Neither of the two is restarted for it.`,
		Args: cobra.ArbitraryArgs,
		RunE: helpOrUnknown,
	}
	var overlap time.Duration
	rotate := &cobra.Command{
		Use:   "rotate",
		Short: "Make a new key for your manager; the one before it goes on for a while",
		Args:  usageArgs(cobra.NoArgs),
		RunE:  func(*cobra.Command, []string) error { return a.rotateKey(overlap) },
	}
	rotate.Flags().DurationVar(&overlap, "overlap", control.KeyOverlap, "for how long the keys before it are taken")
	cmd.AddCommand(rotate,
		a.outputFlag(&cobra.Command{Use: "list", Short: "The keys of your manager, newest first; never the secrets", Args: usageArgs(cobra.NoArgs),
			RunE: func(*cobra.Command, []string) error { return a.listKeys() }}),
		&cobra.Command{Use: "export", Short: "Write your keys to standard output, for testbed key enroll", Args: usageArgs(cobra.NoArgs),
			RunE: func(*cobra.Command, []string) error { return a.exportKeys() }},
		&cobra.Command{Use: "enroll USER", Short: "Take the keys of a user, from standard input, into the keyring of the MCP server here", Args: usageArgs(cobra.ExactArgs(1)),
			RunE: func(_ *cobra.Command, args []string) error { return a.enrollKeys(args[0]) }},
	)
	return cmd
}

// maxOverlap bounds how long a replaced key may live.
const maxOverlap = 30 * 24 * time.Hour

// ownKeys reads the keys of this user's manager.
func (a *app) ownKeys() (*place, control.Ring, error) {
	p, err := a.findServer()
	if err != nil {
		return nil, control.Ring{}, err
	}
	r, err := control.ReadRing(p.paths.ControlKey())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, r, swf.E(swf.CodeEnvironment, "there is no control key: "+p.paths.ControlKey(), "make one: testbed init").Because(err)
	}
	return p, r, err
}

func (a *app) rotateKey(overlap time.Duration) error {
	if overlap < control.KeyOverlap || overlap > maxOverlap {
		return usageError{swf.E(swf.CodeInvalidArgument, fmt.Sprintf("--overlap is from %s, the life of a command and its answers, to %s", control.KeyOverlap, maxOverlap), "leave it out, or say --overlap 24h")}
	}
	p, r, err := a.ownKeys()
	if err != nil {
		return err
	}
	k := control.NewKey()
	until := time.Now().Add(overlap)
	if err := control.WriteRing(p.paths.ControlKey(), r.With(k, until)); err != nil {
		return err
	}
	fmt.Fprintf(a.out, "key %s signs from now on; the one before it is taken until %s\nnext, if your MCP server runs elsewhere: testbed key export | ssh SERVER testbed key enroll %s\n",
		k.ID, until.Format("15:04 (2006-01-02)"), p.username)
	return nil
}

// keyView is one key as a person or a program sees it.
type keyView struct {
	ID    string     `json:"id"`
	Signs bool       `json:"signs"`
	Until *time.Time `json:"until,omitempty"`
}

func (a *app) listKeys() error {
	p, r, err := a.ownKeys()
	if err != nil {
		return err
	}
	views, text := []keyView{}, fmt.Sprintf("control keys of %s (%s)\n", p.username, p.paths.ControlKey())
	for _, k := range r.Keys() {
		v := keyView{ID: k.ID, Signs: k.ID == r.Newest().ID}
		state := "signs"
		if !k.Until.IsZero() {
			v.Until = &k.Until
			state = "is taken until " + k.Until.Local().Format("15:04 (2006-01-02)")
		}
		if k.Dead(time.Now()) {
			state = "has died"
		}
		views, text = append(views, v), text+fmt.Sprintf("  %s  %s\n", k.ID, state)
	}
	return a.show(views, text)
}

func (a *app) exportKeys() error {
	_, r, err := a.ownKeys()
	if err != nil {
		return err
	}
	fmt.Fprintln(a.err, "what follows is secret: give it to testbed key enroll, show it to nobody")
	_, err = a.out.Write(r.Text())
	return err
}

func (a *app) enrollKeys(username string) error {
	if err := swf.CheckName(swf.KindUsername, username); err != nil {
		return usageError{err}
	}
	p, err := a.findServer()
	if err != nil {
		return err
	}
	settings, err := config.LoadServerSettings(p.paths.ServerSettings())
	if err != nil {
		return err
	}
	text, err := io.ReadAll(io.LimitReader(a.in, 16<<10))
	if err != nil {
		return err
	}
	given, err := control.ParseRing("standard input", text)
	if err != nil {
		return swf.E(swf.CodeInvalidArgument, err.Error(), "testbed key export | ssh SERVER testbed key enroll "+username).Because(err)
	}
	if given.Newest().IsZero() || settings.Keyring == "" {
		return swf.E(swf.CodeInvalidArgument, "every key that was given has died, or this server has no keyring", "testbed key rotate on the user's host; keyring = \"keys\" in server.toml")
	}
	if err := p.paths.Make(); err != nil {
		return err
	}
	path := filepath.Join(settings.Keyring, username+".key")
	if err := control.WriteRing(path, given); err != nil {
		return err
	}
	fmt.Fprintf(a.out, "the MCP server here signs for %s with key %s (%s)\n", username, given.Newest().ID, path)
	return nil
}
