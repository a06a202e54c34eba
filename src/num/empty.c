/* Keeps the floor buildable until its first file lands; delete it then. */
typedef int sonde__num_empty;
