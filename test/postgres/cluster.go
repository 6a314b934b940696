package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
)

// Times of a start and a stop on a busy machine.
const (
	startWithin = 60 * time.Second
	pollEvery   = 20 * time.Millisecond
)

// Cluster is a running PostgreSQL.
type Cluster struct {
	dir       string
	databases atomic.Int32
}

// Start starts a cluster that ends with the test. As root it runs as the user
// postgres or nobody, since PostgreSQL refuses root.
func Start(t testing.TB) *Cluster {
	t.Helper()
	bin := binaries()
	if bin == "" {
		if os.Getenv("CI") != "" {
			t.Fatal("PostgreSQL is not installed; CI must have it")
		}
		t.Skip("PostgreSQL is not installed: on Debian, apt-get install postgresql")
	}
	dir, err := os.MkdirTemp("", "swf-pg-") // short: it holds a socket; and not in t.TempDir, which only root may enter
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	credential, err := owner(dir)
	if err != nil {
		t.Fatal(err)
	}
	run := func(name string, args ...string) *exec.Cmd {
		cmd := exec.Command(filepath.Join(bin, name), args...)
		cmd.Dir, cmd.SysProcAttr = dir, &syscall.SysProcAttr{Credential: credential, Setpgid: true}
		cmd.Env = append(os.Environ(), "LC_ALL=C", "PGUSER=postgres")
		return cmd
	}
	data := filepath.Join(dir, "data")
	if out, err := run("initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync", "--no-instructions").CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	server := run("postgres", "-D", data, "-k", dir, "-c", "listen_addresses=", "-c", "fsync=off", "-c", "full_page_writes=off")
	server.Stdout, server.Stderr = log, log
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Wait() }()
	t.Cleanup(func() { stop(t, server, ended) })
	c := &Cluster{dir: dir}
	if err := c.answers(ended); err != nil {
		text, _ := os.ReadFile(log.Name())
		t.Fatalf("PostgreSQL does not start: %v\n%s", err, text)
	}
	return c
}

// stop ends the server in the "fast" way: connections are cut.
func stop(t testing.TB, server *exec.Cmd, ended <-chan error) {
	_ = server.Process.Signal(syscall.SIGINT) // it may have ended
	select {
	case <-ended:
	case <-time.After(startWithin):
		_ = server.Process.Signal(syscall.SIGQUIT)
		<-ended
		t.Error("PostgreSQL did not stop in time")
	}
}

// answers waits until the server takes connections.
func (c *Cluster) answers(ended chan error) error {
	db, err := sql.Open("pgx", c.dsn("postgres"))
	if err != nil {
		return err
	}
	defer db.Close()
	ctx, cancel := context.WithTimeout(context.Background(), startWithin)
	defer cancel()
	for {
		err := db.PingContext(ctx)
		if err == nil {
			return nil
		}
		select {
		case early := <-ended:
			ended <- early
			return errors.Join(errors.New("it ended"), early)
		case <-ctx.Done():
			return err
		case <-time.After(pollEvery):
		}
	}
}

func (c *Cluster) dsn(database string) string {
	return fmt.Sprintf("host=%s user=postgres dbname=%s", c.dir, database)
}

// Database makes an empty database and returns its DSN.
func (c *Cluster) Database(t testing.TB) string {
	t.Helper()
	db, err := sql.Open("pgx", c.dsn("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	name := fmt.Sprintf("test%d", c.databases.Add(1))
	if _, err := db.ExecContext(t.Context(), "CREATE DATABASE "+name); err != nil {
		t.Fatal(err)
	}
	return c.dsn(name)
}

// binaries is the folder of PostgreSQL's programs, "" if there is none.
// Debian keeps them out of PATH.
func binaries() string {
	if path, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(path)
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		return ""
	}
	slices.Sort(found)
	return filepath.Dir(found[len(found)-1])
}

// owner gives dir to the user as whom PostgreSQL is to run: nil is ourselves.
func owner(dir string) (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		u, err = user.Lookup("nobody")
	}
	if err != nil {
		return nil, err
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, os.Chown(dir, int(uid), int(gid))
}
