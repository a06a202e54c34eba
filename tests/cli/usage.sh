# Wrong use: status 2, one line on stderr that says what would be right, nothing on stdout.
. "$(dirname "$0")/common.bash"

wrong() { # wrong TEXT arguments...
    local text=$1
    shift
    run 2 "$@"
    one_error_line
    says err "$text"
}

wrong 'did you mean train?' trian
wrong 'unknown verb' xyzzyxyzzy
wrong 'did you mean show?' help shwo
wrong 'did you mean --epochs?' train --epoch 3
wrong 'did you mean --label-noise?' train --lable-noise=0.1
wrong 'needs a value' train --epochs
wrong 'whole number' train --epochs three
wrong '--epochs' train --epochs 0
wrong '--epochs' train --epochs -4
wrong '--label-noise' train --label-noise 1.5
wrong '--lr' train --lr nan
wrong '--lr' train --lr 0,05
wrong 'did you mean fashion-mnist?' train --data fashon-mnist
wrong 'sonde data' train --data nothing-like-it
wrong 'did you mean resnet20?' train --model resent20
wrong 'sonde models' train --model nothing-like-it
wrong '--probe' train --probe hold:3
wrong '--optimizer' train --optimizer sdg
wrong '--schedule' train --schedule cosin
wrong 'runs/a' train runs/a
wrong 'which RUN or MODEL?' show
wrong 'which MODEL?' spectrum
wrong 'which RUN or FOLDER?' keep
wrong 'two names' diff a
wrong 'one name more' convert a b.safetensors c
wrong 'size such as' spectrum a --memory 2X
wrong 'size such as' spectrum a --memory=
wrong 'whole number' spectrum a --threads two
wrong 'pooled, flat or slices' spectrum a --conv round
wrong 'between 0 and 1' spectrum a --false-alarm 2
wrong 'NAME.safetensors' convert a b
wrong 'did you mean --layers?' spectrum a --layer x
wrong 'did you mean spectrum?' spectra a
wrong 'which RUN?' resume
wrong 'second' show a b
wrong 'unknown option' show a --epochs 3
wrong 'empty' show ''
wrong 'on or off' train --skip=perhaps
[ -z "$(ls -A | grep -v -e '^out$' -e '^err$')" ] || fail "wrong use left files behind"

# Values that hold control characters do not reach the terminal.
run 2 train --data "$(printf 'a\033[31mb')"
if grep -q "$(printf '\033')" err; then fail "an escape sequence in an error"; fi
