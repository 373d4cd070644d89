package containers

import (
	"fmt"
	"io"
	"os/exec"
	"syscall"
)

// janitor is a process that outlives this one for as long as it takes to remove its containers. It waits for the end of a pipe that
// this process holds open, so it also acts when this process is killed.
type janitor struct {
	cmd  *exec.Cmd
	pipe io.Closer
}

func hire(command []string) (*janitor, error) {
	cmd := exec.Command(command[0], command[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // an interrupt from the terminal is not for it
	pipe, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("nobody to clean up after this program: %w", err)
	}
	return &janitor{cmd, pipe}, nil
}

// dismiss tells the janitor that this process is about to end, and waits until it has looked that nothing is left.
func (j *janitor) dismiss() error {
	if err := j.pipe.Close(); err != nil {
		return err
	}
	return j.cmd.Wait()
}
