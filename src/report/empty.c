/* Keeps the floor buildable until its first file lands; delete it then. */
typedef int sonde__report_empty;
