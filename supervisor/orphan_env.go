package supervisor

// Getenv is one variable of the environment the orphan was executed with, ""
// when it has none or is gone.
func (o Orphan) Getenv(key string) string {
	env, err := readEnviron(o.PID)
	if err != nil || !o.identity.alive() {
		return ""
	}
	return env[key]
}
